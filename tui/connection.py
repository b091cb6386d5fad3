"""The way from the command line to a cluster: credentials, collectors and runner, entered and left as one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from playbooks.commands import Target
from situation.readings import Reading


class ConnectionFailed(Exception):  # noqa: N818 - not a fault of ours: it ends the program with its message
    """No connection can be made before the user changes something."""


class Connected:
    """A running connection: which cluster it leads to, and how to ask for on-demand lists."""

    def __init__(self, target: Target, want: Callable[[frozenset[str]], None]) -> None:
        self.target = target
        self.want = want


class KubernetesConnection(msgspec.Struct, frozen=True):
    """Where to connect; entered with the function that takes the readings."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None

    @property
    def target(self) -> Target:
        """What is known of the target before connecting."""
        return Target(self.context or "", self.kubeconfig or "")

    @asynccontextmanager
    async def __call__(self, publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        """Connect and collect until left. Raises ConnectionFailed."""
        from collectors.errors import ConfigurationError
        from collectors.kubernetes.client import connect, utc_now
        from collectors.kubernetes.collect import kubernetes_collectors
        from collectors.kubernetes.on_demand import Wishes
        from collectors.runner import Runner

        try:
            client = await connect(self.kubeconfig, self.context)
        except ConfigurationError as error:
            raise ConnectionFailed(str(error)) from error
        async with client, Runner(publish, utc_now) as runner:
            wishes = Wishes()
            for collector in kubernetes_collectors(client, self.namespace, wishes=wishes):
                runner.start(collector)
            yield Connected(Target(client.context, self.kubeconfig or ""), wishes.want)


def path_text(path: Path | None) -> str | None:
    """A path as an option's value, user's home expanded."""
    return None if path is None else str(path.expanduser())
