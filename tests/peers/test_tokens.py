"""A registry that wants tokens: docker-registry, and a server of the tests' that gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from tests import servers


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.Registry, servers.TokenServer]]:
    with servers.token_registry(tmp_path_factory.mktemp("tokens")) as found:
        yield found


def test_tokens_are_asked_for_as_far_as_they_are_needed(
    guarded: tuple[servers.Registry, servers.TokenServer], image: Image, engine: Engine, elsewhere: Engine, home: Path
) -> None:
    (registry, tokens), name = guarded, guarded[0].name
    # Nobody may push.
    with pytest.raises(ck.RegistryError, match=f"registry {name}: public/app.*denied"):
        image.push(f"{name}/public/app:1")
    with pytest.raises(ck.RegistryError, match=f"registry {name}: the login of ada is refused .*who is that") as error:
        engine.login(name, servers.USER, "guess")
    assert "guess" not in str(error.value)
    engine.login(name, servers.USER, servers.PASSWORD)
    tokens.asked.clear()
    image.push(f"{name}/public/app:1").push(f"{name}/secret/app:1")
    asked = {scope for user, scopes in tokens.asked for scope in scopes if user == servers.USER}
    # The second push takes blobs over from the first: it has to be allowed to read there.
    assert asked >= {
        "repository:public/app:pull,push", "repository:secret/app:pull,push", "repository:public/app:pull",
    }  # fmt: skip
    assert len(tokens.asked) <= 4  # one for each call, and not one for each request
    engine.logout(name)
    # Anybody may pull what is public.
    tokens.asked.clear()
    assert Image.pull(f"{name}/public/app:1", engine=elsewhere).call().stdout == "from afar\n"
    assert tokens.asked == [("", ["repository:public/app:pull"])]
    with pytest.raises(ck.RegistryError, match=f"registry {name}: secret/app:1: denied: it does not exist, or"):
        Image.pull(f"{name}/secret/app:1", engine=elsewhere)
    assert registry.data.exists()


def test_a_token_that_ends_in_the_middle_is_asked_for_again(
    tmp_path: Path, image: Image, engine: Engine, elsewhere: Engine, home: Path
) -> None:
    with servers.token_registry(tmp_path / "short", life=1) as (registry, tokens):
        engine.login(registry.name, servers.USER, servers.PASSWORD)

        class Slow(ck.Progress):
            def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
                if state in ("uploading", "downloading"):
                    threading.Event().wait(1.5)

        image.push(f"{registry.name}/slow", progress=Slow())
        tokens.asked.clear()
        assert Image.pull(f"{registry.name}/slow", engine=elsewhere, progress=Slow()).id == image.id
        assert len(tokens.asked) >= 2
