"""What a short name may stand for: additional registries are asked before docker.io."""

from __future__ import annotations

from containerkit.configuration import Registries
from containerkit.errors import InvalidArgument
from containerkit.oci.reference import DEFAULT_DOMAIN, Reference


def candidates(text: str, configuration: Registries) -> list[Reference]:
    """The references that ``text`` may be, in the order in which registries are asked.

    Raises:
        InvalidArgument: it is none, or an additional registry has no name.
    """
    plain = Reference.parse(text)
    if plain.domain != DEFAULT_DOMAIN or text.startswith((f"{DEFAULT_DOMAIN}/", "index.docker.io/")):
        return [plain]
    return [*(_in(registry, text) for registry in configuration.additional), plain]


def _in(registry: str, text: str) -> Reference:
    try:
        found = Reference.parse(f"{registry}/{text}")
    except InvalidArgument as error:
        raise InvalidArgument(f"configuration: registries.additional: {error.message}") from error
    if found.domain != registry:
        # A name without a dot, a port or "localhost" would be somebody's on docker.io.
        raise InvalidArgument(
            f"configuration: registries.additional: {registry!r}: expected a host, or a host and port"
        )
    return found
