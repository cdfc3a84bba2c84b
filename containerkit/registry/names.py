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
    found = []
    for registry in configuration.additional:
        try:
            found.append(Reference.parse(f"{registry}/{text}"))
        except InvalidArgument as error:
            raise InvalidArgument(f"configuration: registries.additional: {error.message}") from error
    return [*found, plain]
