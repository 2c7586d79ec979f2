"""The images that are retained for services: which this updater remembers, and which it lets go."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from updater_core.app.context import LOG, AppContext, targets_in_use
from updater_core.deploy.journal import JournalRecord
from updater_core.deploy.retention_tags import removal_command, updater_prefix
from updater_core.errors import UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Plan
from updater_core.state.records import ServiceState


def let_go_of(context: AppContext, gone: Set[str]) -> None:
    """Take the names off the images of services that are gone, or have another name by now.

    Before the state is on the disk: a kill in between has it done again.
    """
    kept = {image: name for name, one in context.state.services.items() for image in _images_of(one)}
    for name in gone:
        try:
            for target in context.targets.values():  # which one it was deployed to, nobody says any more
                target.let_go(name, kept)
        except UpdaterError as error:
            text = (
                f"the images retained for {name}, which is not configured any more, keep their names: {error}"
            )
            log_event(LOG, logging.WARNING, LogEvent.HELD, text, service=name)


def adopt_retained(context: AppContext) -> None:
    """Give what an earlier version retained names that are this updater's alone, once and for all.

    Before anything is recovered or updated, which looks for those. An engine that does not answer is asked
    again in the next cycle.
    """
    updater_id = context.host.updater_id
    if context.state.retained_by == updater_id:
        return
    with contextlib.suppress(UpdaterError):  # the cycle itself says that the engine is away
        remembered = _remembered(context)
        if any(remembered.values()):
            _say_former(context.state.retained_by, updater_id)
            for target, _ in targets_in_use(context):
                _say_left_alone(target.adopt_retained(remembered))
        context.change(lambda state: replace(state, retained_by=updater_id))


def _remembered(context: AppContext) -> Mapping[str, Set[str]]:
    """Return, by service, what its generations and its open journal say that it is retained by.

    Raises StateError if the journal cannot be read.
    """
    found = {service.name: set[str]() for service in context.config.services}
    for name, one in context.state.services.items():
        found.setdefault(name, set()).update(_images_of(one))
    for entry in context.journal.read_all():
        if isinstance(entry, JournalRecord):
            found.setdefault(entry.service, set()).update(_images_of_plan(entry.plan))
    return found


def _images_of(one: ServiceState) -> Iterator[str]:
    for generation in one.generations:
        yield from (image.image_id for image in generation.images)


def _images_of_plan(plan: Plan[Any]) -> Set[str]:
    others = {image for each in plan.others for image in (each.old_retained, each.new_retained)}
    found = {plan.old_retained, plan.new_retained, *plan.earlier_retained, *others}
    return {image for image in found if image}


def _say_former(former: str, updater_id: str) -> None:
    """Say what becomes of the names under another id: a copy of this state may belong to another updater."""
    if former:
        folder = updater_prefix(former)
        text = (
            f"the id of this updater is {updater_id}, and was {former}: what it remembers is retained under "
            f"both. The names under {folder} are left alone, for an updater whose state this is a copy of "
            f"may go back to them. Only if there is none, remove them: {removal_command(folder)}"
        )
        log_event(LOG, logging.WARNING, LogEvent.HELD, text)


def _say_left_alone(names: Sequence[str]) -> None:
    for name in names:
        text = (
            f"{name} names an image that this updater does not remember; it is left alone, for another "
            f"updater on this engine may go back to it. If there is none: `docker rmi {name}`"
        )
        log_event(LOG, logging.WARNING, LogEvent.HELD, text)
