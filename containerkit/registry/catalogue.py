"""Looking for images: Docker Hub's search, and the catalogue of a private registry.

Sources: ``docker search``'s end point (``/v1/search`` of the index); Docker registry HTTP API, ``_catalog``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from containerkit.errors import NotFound, RegistryError
from containerkit.oci.reference import DEFAULT_DOMAIN
from containerkit.registry.hosts import Host
from containerkit.registry.sessions import Session
from containerkit.results import SearchResult

#: Where docker.io is searched.
_INDEX = "index.docker.io"
_LIMIT = 8 << 20


def search(term: str, registry: str, session: Session, limit: int) -> list[SearchResult]:
    """Repositories of ``registry`` with ``term`` in their names (Docker Hub looks at the descriptions, too).

    Raises:
        RegistryError: it cannot be reached, or has no catalogue.
    """
    host = session.hosts(registry)[-1]
    return _hub(term, session, limit) if registry == DEFAULT_DOMAIN else _catalogue(term, host, session, limit)


def _hub(term: str, session: Session, limit: int) -> list[SearchResult]:
    api = session.api(Host(DEFAULT_DOMAIN, _INDEX))
    url = f"https://{_INDEX}/v1/search?{urlencode({'q': term, 'n': limit})}"
    with api.request("GET", url) as response:
        api.expect(response, 200, f"{api.host}: search")
        answer = response.json(_LIMIT)
    rows = answer.get("results") if isinstance(answer, dict) else None
    return [_of_hub(row) for row in rows if isinstance(row, dict)][:limit] if isinstance(rows, list) else []


def _of_hub(row: dict[str, Any]) -> SearchResult:
    stars = row.get("star_count")
    return SearchResult(
        str(row.get("name", "")), str(row.get("description") or ""), stars if isinstance(stars, int) else 0,
        row.get("is_official") is True,
    )  # fmt: skip


def _catalogue(term: str, host: Host, session: Session, limit: int) -> list[SearchResult]:
    api = session.api(host, ("registry:catalog:*",))
    try:
        names = sorted({name for name in api.pages("_catalog", "repositories", f"{host}: catalogue") if term in name})
    except NotFound as error:
        raise RegistryError(f"{host}: has no catalogue") from error
    found = []
    for name in names[:limit]:
        try:
            tags = session.repository(host, name).tags()
        except (NotFound, RegistryError):
            tags = []  # all of its tags were deleted, or it is not ours to see
        found.append(SearchResult(f"{host.registry}/{name}", tags=tuple(tags)))
    return found
