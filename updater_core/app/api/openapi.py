"""The OpenAPI document of the API (https://spec.openapis.org/oas/v3.1.0), served at `/api/v1/openapi.json`.

Pure.

The tests hold every answer to the schemas in it.
"""

from __future__ import annotations

from typing import Any

from updater_core import __version__
from updater_core.state import orders

ORDERS = (
    orders.UPDATE, orders.APPROVE, orders.SKIP, orders.RETRY, orders.ROLLBACK, orders.PAUSE, orders.RESUME,
)  # fmt: skip
_SUMMARIES = {
    orders.UPDATE: (
        "Update the service now, past window, mode and min_age; never past a quarantine, a pause or a skip."
    ),
    orders.APPROVE: (
        "Let the image that waits be taken. Only if the mode is `approve`, or to take a skip back."
    ),
    orders.SKIP: "Do not take the image that waits, under any tag, until a newer one appears.",
    orders.RETRY: "Lift the quarantine, and the wait after a failure.",
    orders.ROLLBACK: "Go back to the image before, until a newer one appears.",
    orders.PAUSE: "No updates of the service, or of all (`all`); checks go on.",
    orders.RESUME: "End such a pause; of `all`: every one.",
}
_DIGEST = {"type": "string", "pattern": "^sha(256|512):[0-9a-f]+$"}
_TIME = {"type": "string", "format": "date-time"}
_BODIES: dict[str, dict[str, Any]] = {
    orders.APPROVE: {
        "digest": {**_DIGEST, "description": "The image that is meant; refused if another one waits."}
    },
    orders.SKIP: {
        "digest": {**_DIGEST, "description": "The image that is meant; refused if another one waits."}
    },
    orders.PAUSE: {
        "for": {
            "description": (
                "How long: seconds, or a text such as 90m, 12h or 3d; until resumed when left out."
            ),
            "type": ["number", "string"],
        }
    },
}


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Docker Auto-Updater",
            "version": __version__,
            "description": "Orders to a running updater. Each goes the same way as one of the command line.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            "/api/v1/services": {"get": _reading("Every service, and how it is.", "Services")},
            "/api/v1/services/{name}": {
                "parameters": [_name()],
                "get": _reading("One service, and how it is.", "Service"),
            },
            **{f"/api/v1/services/{{name}}/{kind}": _ordering(kind) for kind in ORDERS},
            "/api/v1/check": {"post": _order("check", "Check all services now.", {})},
            "/api/v1/orders/{id}": {
                "parameters": [_parameter("id", {"type": "string", "pattern": "^[0-9a-f]{32}$"})],
                "get": _reading("What came of an order.", "Order"),
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _name() -> dict[str, Any]:
    return _parameter("name", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"})


def _ordering(kind: str) -> dict[str, Any]:
    return {"parameters": [_name()], "post": _order(kind, _SUMMARIES[kind], _BODIES.get(kind, {}))}


def _reading(summary: str, schema: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _answer("It is so.", schema), **_refusals("401", "404")}}


def _order(kind: str, summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    body = {"type": "object", "additionalProperties": False, "properties": properties}
    refusals = _refusals("400", "401", "403", "404", "413", "415", "429")
    return {
        "operationId": kind,
        "summary": summary,
        "requestBody": {"content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _answer("It was done.", "Order"),
            "202": _answer("It waits for what is under way; Location says where to look.", "Order"),
            "409": _answer("It was refused: it has nothing to act on, or failed.", "Order", "Error"),
            **refusals,
        },
    }


_WHY = {
    "400": "The body is not what this takes.",
    "401": "No valid token.",
    "403": "The token may not do this, or another page has caused the request.",
    "404": "There is no such service, order or path.",
    "413": "The body is longer than 16 KiB.",
    "415": "The body is not announced as application/json.",
    "429": "Too many failures from this address; Retry-After says how long to wait.",
}


def _refusals(*statuses: str) -> dict[str, Any]:
    return {status: _answer(_WHY[status], "Error") for status in statuses}


def _answer(description: str, *schemas: str) -> dict[str, Any]:
    links: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{schema}"} for schema in schemas]
    schema = links[0] if len(links) == 1 else {"anyOf": links}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**properties: Any) -> dict[str, Any]:
    """Return an object with exactly these keys, all of them required."""
    return {
        "type": "object",
        "required": [*properties],
        "additionalProperties": False,
        "properties": properties,
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: dict[str, Any] = {"type": "string"}


def _schemas() -> dict[str, Any]:
    services = {"type": "array", "items": {"$ref": "#/components/schemas/Service"}}
    return {
        "Error": _object(error=_TEXT, remedy=_TEXT),
        "Order": _order_schema(),
        "Services": _object(version=_TEXT, services=services),
        "Service": _service_schema(),
    }


def _order_schema() -> dict[str, Any]:
    return _object(
        id=_TEXT,
        state={"enum": ["waiting", "done", "refused"]},
        order={"enum": [*orders.KINDS]},
        service=_TEXT,
        by=_TEXT,
        asked_at=_TIME,
        done_at=_or_null(_TIME),
        digest=_or_null(_DIGEST),
        detail=_TEXT,
    )


def _service_schema() -> dict[str, Any]:
    pause = _object(since=_TIME, who=_TEXT, until=_or_null(_TIME))
    skip = _object(digest=_DIGEST, reference=_TEXT, since=_TIME, who=_TEXT)
    return _object(
        name=_TEXT,
        enabled={"type": "boolean"},
        mode={"enum": ["auto", "approve", "notify"]},
        state=_TEXT,
        reason=_or_null(_TEXT),
        detail=_TEXT,
        remedy=_TEXT,
        current=_object(reference=_or_null(_TEXT), digest=_or_null(_TEXT)),
        available=_or_null(_object(reference=_TEXT, digest=_or_null(_DIGEST))),
        pause=_or_null(pause),
        pause_of_all=_or_null(pause),
        skips={"type": "array", "items": skip},
        approval=_or_null(_approval_schema()),
        orders={"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
    )


def _approval_schema() -> dict[str, Any]:
    return _object(
        digest=_DIGEST,
        reference=_TEXT,
        asked_at=_TIME,
        expires_at=_TIME,
        given_at=_or_null(_TIME),
        who=_TEXT,
        others={"type": "array", "items": _TEXT},
    )
