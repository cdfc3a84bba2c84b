"""A build cache that travels with an image: which steps its layers are, written into its manifest.

Who builds with ``cache_from`` trusts whoever has pushed that image to say the truth: a key is not the digest of what
came out, and nobody can check it without carrying the step out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from containerkit.builder.state import State
from containerkit.store.buildsteps import Step
from containerkit.store.images import ImageRecord

ANNOTATION = "org.containerkit.build-steps"
_PLACE = "from "
#: Seconds since 1970: the year 3000.
_LATEST = 32_503_680_000


def written(state: State) -> Mapping[str, str]:
    """What is written into the manifest of an image."""
    return {ANNOTATION: json.dumps(state.steps, separators=(",", ":"))}


def steps(record: ImageRecord, said: Mapping[str, str], sizes: Mapping[str, int]) -> Iterator[Step]:
    """The steps that an image tells of; those that cannot be are passed over.

    Args:
        said: the annotations of its manifest.
        sizes: bytes of the files of its layers, by chain id.
    """
    try:
        found = json.loads(said.get(ANNOTATION, "[]"))
    except (ValueError, RecursionError):
        return
    for one in found if isinstance(found, list) else ():
        match one:
            case [str() as key, int() | float() as created, int() as number] if len(key) == 64 and -1 <= number < len(
                record.layers
            ):
                place = f"{_PLACE}{record.id}"
                if number < 0:
                    yield Step(key, place, place, place, {}, None, created=created)
                    continue
                chain_id = record.chain_ids[number]
                yield Step(
                    key, place, place, place, {}, record.layers[number], record.config.rootfs.diff_ids[number],
                    chain_id, sizes.get(chain_id, 0), created,
                )  # fmt: skip
