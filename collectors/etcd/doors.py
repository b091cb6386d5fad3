"""The members as they are reached at present: shared by the collectors of etcd."""

import asyncio
from typing import Final

from collectors.errors import ConfigurationError, ForbiddenError, SourceError
from collectors.etcd.credentials import Credentials
from collectors.etcd.discovery import Found, Target
from collectors.etcd.maintenance import Maintenance
from situation.etcd.members import ListedMember
from situation.readings import SourceState


class Doors:
    """What the last search brought, an open connection to each member, and the member list."""

    def __init__(self) -> None:
        self.targets: tuple[Target, ...] = ()
        self.credentials: Credentials | None = None
        self.error = ""
        """Why there are no targets, or no credentials."""
        self.state = SourceState.STARTING
        """What the search came to."""
        self.listed: tuple[ListedMember, ...] = ()
        """The member list as read last, empty if it never was."""
        self.answering: frozenset[str] = frozenset()
        """Endpoints whose status was heard in the last round."""
        self._open: dict[str, Maintenance] = {}
        self._known = asyncio.Event()

    async def take(self, found: Found) -> None:
        """Take in what a search brought.

        What once was found stays when nothing is found any more: a manifest is moved away to restart its pod, a
        certificate is half written while it is renewed.
        """
        targets = found.targets or self.targets
        credentials = found.credentials or (self.credentials if self.targets else None)
        for endpoint, maintenance in list(self._open.items()):
            if credentials is not self.credentials or endpoint not in {target.endpoint for target in targets}:
                del self._open[endpoint]
                await maintenance.aclose()
        self.targets, self.credentials = targets, credentials
        self.error, self.state = found.error, found.state
        self._known.set()

    async def until_known(self) -> None:
        """Wait for the first search."""
        await self._known.wait()

    def maintenance(self, target: Target) -> Maintenance | None:
        """Return the connection to a member, None without credentials."""
        if self.credentials is None:
            return None
        if target.endpoint not in self._open:
            self._open[target.endpoint] = Maintenance(target.endpoint, self.credentials)
        return self._open[target.endpoint]

    def no_credentials(self) -> SourceError:
        """Return the error for what cannot be asked because the certificates cannot be used."""
        return ForbiddenError(self.error) if self.state is SourceState.FORBIDDEN else ConfigurationError(self.error)

    def likely(self) -> list[Target]:
        """Return the members, those first that answered in the last round."""
        return sorted(self.targets, key=lambda target: target.endpoint not in self.answering)

    async def aclose(self) -> None:
        """Close all connections; they are opened again when they are used."""
        while self._open:
            await self._open.popitem()[1].aclose()


def most_telling(errors: list[SourceError]) -> SourceError:
    """Return the error that says best what to do: refused credentials before no answer."""
    return min(errors, key=lambda error: _ORDER.get(error.state, len(_ORDER)))


_ORDER: Final = {SourceState.UNAUTHORIZED: 0, SourceState.FORBIDDEN: 1, SourceState.UNREACHABLE: 2}
