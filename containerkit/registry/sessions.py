"""What one call to a registry has: the configuration, a deadline, and the API of each host that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from containerkit.configuration import Registries
from containerkit.registry import hosts
from containerkit.registry.api import Api
from containerkit.registry.authorization import Authorization
from containerkit.registry.credentials import Credentials
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Host, Trust
from containerkit.registry.repository import Repository
from containerkit.registry.transport import Transport
from containerkit.values import frozen


@frozen
class Session:
    """One call.

    Args:
        tls_verify: as ``Image.pull`` takes it.
        given: credentials to use instead of those that are kept.
    """

    configuration: Registries
    deadline: Deadline = field(default_factory=Deadline)
    tls_verify: bool | None = None
    given: Credentials | None = None

    def hosts(self, registry: str) -> list[Host]:
        """Where to ask for what ``registry`` has, in order."""
        return hosts.hosts(registry, self.configuration, self.tls_verify)

    def api(self, host: Host, scopes: Sequence[str] = (), repository: str = "") -> Api:
        """The host's API, for what is in ``scopes``; ``repository`` is what credentials are looked up for."""
        transport = Transport(lambda authority: self._trust(host, authority), self.deadline)
        return Api(host, transport, Authorization(host, transport, repository, self.given), scopes)

    def repository(self, host: Host, path: str, *, pushes: bool = False, sources: Sequence[str] = ()) -> Repository:
        """The repository ``path`` at that host; blobs may be mounted from the repositories ``sources``."""
        actions = "pull,push" if pushes else "pull"
        scopes = [f"repository:{path}:{actions}", *(f"repository:{source}:pull" for source in sources)]
        return Repository(self.api(host, scopes, path), path)

    def _trust(self, host: Host, authority: str) -> Trust:
        return host.trust if authority == host.authority else hosts.trust_in(authority, self.configuration)
