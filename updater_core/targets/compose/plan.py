"""What a plan holds for Compose besides the neutral facts: project, services, edits of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from updater_core.models import Edit, ImageRef, Plan, Project
from updater_core.targets.compose.entry.settings import NAME
from updater_core.vocabulary.handover import Handover
from updater_core.vocabulary.image_ref import ImageChange

_COMPANIONS = "companions"  # what the dependents are called in former journals


@dataclass(frozen=True, slots=True)
class Move:
    """One Compose service of the update group, from its old image to the new one."""

    service: str
    old_reference: str  # as Compose resolves it now
    new_reference: str
    old_image_id: str
    replicas: int
    container_ids: tuple[str, ...] = ()
    # False: it was already down or unhealthy, so going back cannot promise more than that
    was_well: bool = True
    is_one_shot: bool = False  # it ends by itself: success is an exit with 0
    may_end: bool = False  # it did not run before: an exit with 0 is no failure
    runs_first: bool = False  # a one-shot that has to end with 0 before the others of the group are touched
    stop_grace_seconds: float = 10.0
    healthcheck_seconds: float = 0.0  # what its own healthcheck may take to decide
    volumes: tuple[tuple[str, str], ...] = ()  # name and place of each that its containers had before


@dataclass(frozen=True, slots=True)
class Group:
    """The services that an `up` is for, and their project as Compose resolves it."""

    project: Project
    moves: tuple[Move, ...]
    dependents: tuple[Move, ...]
    model: Mapping[str, Any]

    @property
    def everyone(self) -> tuple[Move, ...]:
        """Return the moves of the group, then those of its dependents."""
        return (*self.moves, *self.dependents)

    @property
    def services(self) -> frozenset[str]:
        return frozenset(move.service for move in self.everyone)

    @property
    def replicas(self) -> Mapping[str, int]:
        """Return how many containers each service has."""
        return {move.service: move.replicas for move in self.everyone}


@dataclass(frozen=True, slots=True)
class FurtherImage:
    """The image of another repository in the group: `services` run it.

    The fields are as those of the plan.
    """

    services: tuple[str, ...]
    image: ImageRef
    old_digest: str | None = None
    new_retained: str | None = None
    prior_image_id: str | None = None


@dataclass(frozen=True, slots=True)
class DependentProject:
    """Services of another project that are recreated behind one that goes, as they are.

    Their containers live in a namespace of its, or have its volumes. `sources` and `model_digest` as in the
    plan.
    """

    project: Project
    moves: tuple[Move, ...]
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    model_digest: str | None = None
    with_dependencies: bool = False


@dataclass(frozen=True, slots=True)
class ComposePlan:
    """The part of a plan that only Compose's own modules read."""

    project: Project
    moves: tuple[Move, ...]
    edits: tuple[Edit, ...] = ()
    dependents: tuple[Move, ...] = ()  # restarted with them and gated, their image stays
    platform: str | None = None  # as configured; None = the engine's own
    allow_volume_change: bool = False  # as configured
    with_dependencies: bool = False  # leave --no-deps out (see compose_utils)
    prior_image_id: str | None = None  # what the new reference named locally before us, to be put back
    # local tags that a pull moves, to the ids they named
    former_tags: Mapping[str, str] = field(default_factory=dict)
    # the text of each of the project's files, as it was read; an operator's secrets may stand in it
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    model_digest: str | None = None  # of what Compose makes of them, and of all that they include
    further: tuple[FurtherImage, ...] = ()  # of other repositories; all other moves take the plan's own image
    handover: Handover = field(default_factory=Handover)  # for start-first
    dependent_projects: tuple[DependentProject, ...] = ()  # in the order in which they are recreated
    also_changed: tuple[str, ...] = ()  # what else of the group's services takes what is edited, in words

    @property
    def everyone(self) -> tuple[Move, ...]:
        """Return the services that are restarted."""
        return (*self.moves, *self.dependents)


def parts(plan: Plan[ComposePlan]) -> tuple[Plan[ComposePlan], ...]:
    """Return the plan as one for each image of its group, the plan's own first."""
    detail = plan.detail
    foreign = {service for each in detail.further for service in each.services}
    own = tuple(move for move in detail.moves if move.service not in foreign)
    return (
        replace(plan, detail=replace(detail, moves=own, further=())),
        *(_part(plan, each) for each in detail.further),
    )


def _part(plan: Plan[ComposePlan], further: FurtherImage) -> Plan[ComposePlan]:
    moves = tuple(move for move in plan.detail.moves if move.service in further.services)
    return replace(
        plan,
        image=further.image,
        old_reference=moves[0].old_reference,
        new_reference=moves[0].new_reference,
        old_digest=further.old_digest,
        old_retained=moves[0].old_image_id,
        new_retained=further.new_retained,
        detail=replace(plan.detail, moves=moves, prior_image_id=further.prior_image_id, further=()),
    )


def of_dependents(plan: Plan[ComposePlan]) -> tuple[Plan[ComposePlan], ...]:
    """Return the plan as one for each project of its dependents.

    No image changes, and all of its services are dependents.
    """
    return tuple(
        replace(plan, detail=_of_project(plan.detail, each)) for each in plan.detail.dependent_projects
    )


def _of_project(detail: ComposePlan, dependent: DependentProject) -> ComposePlan:
    return replace(
        detail,
        project=dependent.project,
        moves=(),
        dependents=dependent.moves,
        edits=(),
        sources=dependent.sources,
        model_digest=dependent.model_digest,
        with_dependencies=dependent.with_dependencies,
        further=(),
        dependent_projects=(),
    )


def with_dependents(plan: Plan[ComposePlan], changed: Sequence[Plan[ComposePlan]]) -> Plan[ComposePlan]:
    """Return the plan with its dependents as the projects of `changed` have them, in their order.

    `changed`: one for each of `of_dependents`.
    """
    pairs = zip(plan.detail.dependent_projects, changed, strict=True)
    dependents = tuple(
        replace(one, project=other.detail.project, with_dependencies=other.detail.with_dependencies)
        for one, other in pairs
    )
    return replace(plan, detail=replace(plan.detail, dependent_projects=dependents))


def joined(plan: Plan[ComposePlan], done: Sequence[Plan[ComposePlan]]) -> Plan[ComposePlan]:
    """Return the plan with what was found out for each of its `parts`."""
    own, *others = done
    further = tuple(
        replace(each, new_retained=other.new_retained, prior_image_id=other.detail.prior_image_id)
        for each, other in zip(plan.detail.further, others, strict=True)
    )
    detail = replace(plan.detail, prior_image_id=own.detail.prior_image_id, further=further)
    return replace(
        plan,
        new_retained=own.new_retained,
        others=_changes(others),
        old_facts=own.old_facts,
        new_facts=own.new_facts,
        detail=detail,
    )


def with_others(plan: Plan[ComposePlan]) -> Plan[ComposePlan]:
    """Return the plan with what becomes of the images of other repositories in its neutral part, too."""
    return replace(plan, others=_changes(parts(plan)[1:]))


def _changes(others: Sequence[Plan[ComposePlan]]) -> tuple[ImageChange, ...]:
    return tuple(map(_change, others))


def _change(part: Plan[ComposePlan]) -> ImageChange:
    return ImageChange(
        old_reference=part.old_reference,
        old_digest=part.old_digest,
        old_retained=part.old_retained,
        new_reference=part.new_reference,
        new_digest=part.image.digest,
        new_retained=part.new_retained or "",
    )


def former_plan(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan of a former journal in the form of today; one of today's form as it is.

    Before 2026-11-29 the dependents were called companions. Before 2026-11-28 Compose's parts lay beside the
    neutral ones. Raises KeyError, TypeError or IndexError if it is of no such form.

    >>> former_plan({"moves": [{"old_reference": "app:1", "new_reference": "app:2", "old_image_id": "i"}],
    ...     "target": {}, "project": {}, "edits": [], "name": "web"})["old_reference"]
    'app:1'
    >>> former_plan({"detail": {"companions": ["sidecar"], "dependents": ["project"]}})["detail"]
    {'dependents': ['sidecar'], 'dependent_projects': ['project']}
    """
    if "detail" in raw:
        return {**raw, "detail": _with_names_of_today(raw["detail"])}
    first = raw["moves"][0]
    names = {field.name for field in fields(ComposePlan)} | {_COMPANIONS}
    detail = {name: value for name, value in raw.items() if name in names}
    rest = {key: value for key, value in raw.items() if key not in detail}
    return {
        **rest,
        "target": NAME,
        "image": raw["target"],
        "old_reference": first["old_reference"],
        "new_reference": first["new_reference"],
        "old_retained": first["old_image_id"],
        "new_retained": raw.get("image_id"),
        "earlier_retained": raw.get("kept_image_ids", []),
        "was_well": all(move.get("was_well", True) for move in raw["moves"]),
        "restarts": ", ".join(str(move.get("service")) for move in raw["moves"]),
        "detail": _with_names_of_today(detail),
    }


def _with_names_of_today(detail: Mapping[str, Any]) -> dict[str, Any]:
    if _COMPANIONS not in detail:
        return dict(detail)
    moves, projects = detail[_COMPANIONS], detail.get("dependents", ())
    rest = {key: value for key, value in detail.items() if key not in (_COMPANIONS, "dependents")}
    return {**rest, "dependents": moves, "dependent_projects": projects}
