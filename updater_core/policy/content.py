"""Holds for what a tag leads to: nothing that can run here, or the very image that runs. Pure.

A repository has more than images: Helm charts, build caches, signatures, attestations. And the digest of an index
changes if only an attestation beside the same images was pushed again. What a candidate leads to is asked for last, for
that costs a request that registries count as a pull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from updater_core.models import Ask, Hold, ImageRef, Observation, Reason

# Such a tag is no candidate for this host: it neither waits nor stands in the way of another one.
NO_CANDIDATE_HERE = frozenset({Reason.NOT_AN_IMAGE, Reason.PLATFORM_MISSING, Reason.NOT_FOUND})
_REMEDIES = {
    Reason.NOT_AN_IMAGE: "follow a tag that names an image; tag_exclude, or a narrower pattern, leaves this one out",
    Reason.PLATFORM_MISSING: "publish the image for this platform, or set `platform`",
}


def obstacle(reason: Reason, target: ImageRef, detail: str) -> Hold:
    """Return the hold for a tag that leads to no image for this host."""
    return Hold(reason, f"{target.text}: {detail}", _REMEDIES.get(reason, ""), available=target)


def same_image(target: ImageRef) -> Hold:
    """Return the hold for an index that was pushed again around the image that runs."""
    detail = f"{target.text} was pushed again around the same image, which is the one that runs"
    return Hold(Reason.SAME_DIGEST, detail)


def known(observation: Observation, tag: str) -> Hold | None:
    """Return the hold for what a tag leads to, if it is known and stands in the way."""
    return (observation.contents or {}).get(tag)


def still_to_ask(observation: Observation, tag: str) -> Ask | None:
    """Return an Ask if what a tag leads to is still to be asked."""
    if observation.contents is None or tag in observation.contents:
        return None
    return Ask(contents=(tag,))


def first_of(rejections: Sequence[Hold]) -> Hold | None:
    """Return the hold of the first tag that is a candidate for this host, or else of the first tag, or None."""
    waiting = first_waiting(rejections)
    return waiting or next((replace(hold, available=None) for hold in rejections), None)


def first_waiting(rejections: Sequence[Hold]) -> Hold | None:
    """Return the hold of the first tag that is a candidate for this host, or None."""
    return next((hold for hold in rejections if hold.reason not in NO_CANDIDATE_HERE), None)
