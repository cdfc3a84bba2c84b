"""The last state becomes an image."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from containerkit.builder import inline
from containerkit.builder.inputs import digest
from containerkit.builder.report import BuildReport
from containerkit.builder.state import State
from containerkit.errors import NotFound, StorageError
from containerkit.oci import codec
from containerkit.oci.image_config import History, ImageConfig, format_time
from containerkit.oci.reference import Reference
from containerkit.store.images import ImageRecord

if TYPE_CHECKING:
    from containerkit.builder.build import Build


def write(build: Build, state: State, report: BuildReport) -> ImageRecord:
    """The image, with its tags, and how it was built.

    What was built before has the time that it had then: an image of equal content and config has the same id.
    """
    image = _labelled(state.image, build.wishes.labels)
    moment = _moment(build, image)
    tags = build.wishes.tags
    dated = _dated(image, moment)
    made = None if build.wishes.inline_cache else _known(build, dated)
    is_new = made is None
    if made is None:
        made = build.store.add_image(
            dated, state.layers, build.ingest, tags[0] if tags else None, action="build",
            annotations=inline.written(state) if build.wishes.inline_cache else {},
        )  # fmt: skip
    elif not report.misses and {Reference.parse(tag).familiar for tag in tags} <= set(made.tags):
        return made  # nothing is new
    for tag in tags[1:] if is_new else tags:
        made = build.store.images.tag(made.id, tag)
    build.store.buildsteps.report(made.id, report.dumps())
    return made


def _known(build: Build, image: ImageConfig) -> ImageRecord | None:
    """The image of that config, where it is here and whole."""
    id = f"sha256:{digest(codec.dumps(image))}"
    try:
        found = build.store.images.get(id)
    except (NotFound, StorageError):
        return None
    return found if all(build.store.blobs.exists(layer.digest) for layer in found.layers) else None


def unfinished(build: Build, state: State) -> ImageRecord:
    """What there is of a build that failed, as an image without a name."""
    return build.store.add_image(_dated(state.image, time.time()), state.layers, build.ingest, None, action="build")


def _labelled(image: ImageConfig, labels: Mapping[str, str]) -> ImageConfig:
    if not labels:
        return image
    return replace(image, config=replace(image.config, labels={**(image.config.labels or {}), **labels}))


def _moment(build: Build, image: ImageConfig) -> float:
    """When an image like this was built for the first time."""
    if build.wishes.epoch is not None:
        return float(build.wishes.epoch)
    inputs = {"the image": digest(codec.dumps(replace(image, created="")))}
    found = build.cache.find(inputs) or build.cache.add("image", "image", "", inputs, None, "")
    return found.created


def _dated(image: ImageConfig, moment: float) -> ImageConfig:
    now = format_time(moment)
    history = tuple([step if step.created else _at(step, now) for step in image.history])
    return replace(image, created=now, history=history)


def _at(step: History, now: str) -> History:
    return replace(step, created=now)
