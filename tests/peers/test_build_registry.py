"""Builds and a registry: bases that are pulled, and a cache that travels with an image."""

from __future__ import annotations

from pathlib import Path

from containerkit import Engine, Image
from tests import servers

TEXT = """\
FROM {registry}/base
COPY page /page
RUN --network=none cat /page > /seen
RUN --network=none true
CMD ["cat", "/seen"]
"""


def build(engine: Engine, registry: servers.Registry, context: dict[str, str], **options: object) -> Image:
    text = TEXT.format(registry=registry.name)
    return Image.from_dockerfile(text, context=context, engine=engine, progress=None, **options)  # type: ignore[arg-type]


def outcomes(image: Image) -> list[str]:
    return [step.outcome for step in image.explain() if step.outcome != "config"]


def test_another_machine_carries_out_only_what_has_changed(
    registry: servers.Registry, image: Image, engine: Engine, elsewhere: Engine, tmp_path: Path
) -> None:
    image.push(f"{registry.name}/base")
    app = f"{registry.name}/app:cache"
    made = build(engine, registry, {"page": "one\n"}, tag=app, inline_cache=True)
    assert outcomes(made) == ["miss"] * 3
    made.push(app)
    there = build(elsewhere, registry, {"page": "one\n"}, cache_from=app)
    assert outcomes(there) == ["hit"] * 3
    assert there.call(network="none").stdout == "one\n"
    assert there.layers == made.layers
    assert outcomes(build(elsewhere, registry, {"page": "two\n"}, cache_from=app)) == ["miss"] * 3


def test_a_base_is_asked_for_anew_on_request(
    registry: servers.Registry, image: Image, engine: Engine, elsewhere: Engine
) -> None:
    image.push(f"{registry.name}/base")
    first = build(elsewhere, registry, {"page": "x"})
    text = "FROM busybox\nLABEL newer=1\nRUN --network=none touch /newer\n"
    newer = Image.from_dockerfile(text, engine=engine, progress=None)
    newer.push(f"{registry.name}/base")
    assert build(elsewhere, registry, {"page": "x"}).id == first.id
    pulled = build(elsewhere, registry, {"page": "x"}, pull=True)
    assert pulled.labels == {"newer": "1"} and outcomes(pulled) == ["miss"] * 3
