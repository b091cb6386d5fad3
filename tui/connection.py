"""The way from the command line to a cluster: credentials, collectors and runner, entered and left as one."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from playbooks.commands import Target
from situation.kinds import BY_NAME
from situation.logs import LogTarget, PodLog
from situation.readings import Reading
from situation.situation import Situation
from situation.text import harmless

if TYPE_CHECKING:
    from collectors.etcd.collect import EtcdOptions
    from collectors.gpu_devices.collect import DeviceOptions
    from collectors.kubernetes.client import Client
    from tui.config import Config

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""Names of namespaces (Kubernetes documentation, "Object Names and IDs": RFC 1123 labels)."""
_FAULT_DEADLINE_S: Final = 5.0


LogReader = Callable[[LogTarget], Awaitable[PodLog]]
"""Reads the log of a container once; says in the answer what could not be read."""


class ConnectionFailed(Exception):  # noqa: N818 - not a fault of ours: it ends the program with its message
    """No connection can be made before the user changes something."""


async def _no_fault() -> str:
    return ""


def _no_devices(situation: Situation, first: Iterable[str]) -> None:
    """Stands for a connection that knows no way to GPUs."""


class Connected:
    """A running connection: which cluster it leads to, and how to ask for on-demand lists and for GPUs.

    `want_devices` is told once a second what is known, and whose GPUs are wanted first; `device_sources` are the names
    of the sources that then tell of them.

    `own_fault` asks the server once more and returns why its answer says nothing about the cluster: credentials,
    certificates, a proxy or a login page in between. Empty when the answer, or the silence, is the server's own.
    `read_log` is None where there are no logs to be asked for, as in a recording.
    """

    def __init__(
        self,
        target: Target,
        want: Callable[[frozenset[str]], None],
        server: str = "",
        own_fault: Callable[[], Awaitable[str]] = _no_fault,
        read_log: LogReader | None = None,
        want_devices: Callable[[Situation, Iterable[str]], None] = _no_devices,
        device_sources: tuple[str, ...] = (),
    ) -> None:
        self.target = target
        self.want = want
        self.server = server
        self.own_fault = own_fault
        self.read_log = read_log
        self.want_devices = want_devices
        self.device_sources = device_sources


class KubernetesConnection(msgspec.Struct, frozen=True):
    """Where to connect; entered with the function that takes the readings."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    plugin_deadline_s: float | None = None
    """Seconds for an exec plugin; None for the collectors' own choice."""
    devices: "DeviceOptions | None" = None
    """Ways to the GPUs; None: those that need no option."""
    etcd: "EtcdOptions | None" = None
    """Ways to etcd; None: those that need no option."""

    @property
    def target(self) -> Target:
        """What is known of the target before connecting."""
        return Target(self.context or "", self.kubeconfig or "", self.namespace or "")

    @asynccontextmanager
    async def __call__(self, publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        """Connect and collect until left. Raises ConnectionFailed."""
        from collectors.errors import ConfigurationError
        from collectors.gpu_devices.collect import DeviceOptions, gpu_collectors
        from collectors.gpu_devices.wishes import DeviceWishes
        from collectors.http import HttpReader
        from collectors.kubernetes.client import connect, utc_now
        from collectors.kubernetes.collect import kubernetes_collectors
        from collectors.kubernetes.exec_plugin import PLUGIN_DEADLINE_S
        from collectors.kubernetes.on_demand import Wishes
        from collectors.kubernetes.pod_logs import read_pod_log
        from collectors.runner import Runner

        check_namespace_name(self.namespace)
        plugin_deadline_s = self.plugin_deadline_s or PLUGIN_DEADLINE_S
        try:
            client = await connect(self.kubeconfig, self.context, plugin_deadline_s=plugin_deadline_s)
            http, device_wishes = HttpReader(), DeviceWishes()
            devices = gpu_collectors(client, http, device_wishes, self.devices or DeviceOptions())
        except ConfigurationError as error:
            raise ConnectionFailed(str(error)) from error
        async with client, http, Runner(publish, utc_now) as runner:
            wishes = Wishes()
            for collector in (*kubernetes_collectors(client, self.namespace, wishes=wishes), *devices):
                runner.start(collector)
            yield Connected(
                Target(client.context, self.kubeconfig or "", self.namespace or ""),
                wishes.want,
                client.server,
                lambda: _own_fault(client, self.namespace),
                lambda log: read_pod_log(client, log, utc_now),
                device_wishes.tell,
                tuple(collector.name for collector in devices),
            )


async def _own_fault(client: "Client", namespace: str | None) -> str:
    from collectors.errors import BadAnswerError, ConfigurationError, ForbiddenError, SourceError, UnauthorizedError
    from collectors.kubernetes.lists import refusals_named
    from collectors.kubernetes.polls import parse_version

    pods = BY_NAME["pods"]
    try:
        _, body = await client.get("/version", deadline_s=_FAULT_DEADLINE_S)
        parse_version(body)
        with refusals_named(pods, namespace, "list"):
            # Servers may tell their version to everybody.
            async with client.stream(pods.path(namespace), {"limit": "1"}, first_byte_s=_FAULT_DEADLINE_S):
                return ""
    except (BadAnswerError, ConfigurationError, UnauthorizedError) as error:
        return harmless(str(error))
    except ForbiddenError as error:
        return f"nothing may be read with these credentials: {harmless(str(error))}"
    except SourceError:
        return ""


def device_options(dcgm: Iterable[str], prometheus: str | None, config: "Config") -> "DeviceOptions":
    """Return the ways to GPUs that the command line asks for; what it does not say, the configuration does."""
    from collectors.gpu_devices.collect import DeviceOptions

    return DeviceOptions(
        tuple(dcgm) or config.dcgm,
        prometheus or config.prometheus,
        config.prometheus_token_file,
        config.gpu_nodes,
    )


def check_namespace_name(namespace: str | None) -> None:
    """Raise ConnectionFailed for a name that no namespace can have: it would become part of a path."""
    if namespace and not _LABEL.fullmatch(namespace):
        raise ConnectionFailed(
            f"--namespace {namespace!r}: not a name of a namespace (small letters, digits and dashes, 63 at most)"
        )


def path_text(path: Path | None) -> str | None:
    """A path as an option's value: absolute, because commands that carry it are pasted elsewhere."""
    return None if path is None else str(path.expanduser().absolute())
