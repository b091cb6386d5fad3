"""The way from the command line to a cluster: credentials, collectors and runner, entered and left as one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.kubernetes.cluster_clock import ClusterClock
from playbooks.commands import Target
from situation.kinds import BY_NAME
from situation.logs import LogTarget, PodLog
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from situation.situation import Situation
from situation.text import harmless
from tui.config import NOT_A_NAMESPACE, is_namespace_name
from tui.local import Access, local_access, not_read

if TYPE_CHECKING:
    from collectors.etcd.options import EtcdOptions
    from collectors.gpu_devices.options import DeviceOptions
    from collectors.kubernetes.client import Client
    from collectors.vllm.options import VllmOptions
    from tui.config import Config

_FAULT_DEADLINE_S: Final = 5.0
_ALWAYS_S: Final = 1e9
_COMPARED_WITHIN_S: Final = 1.0
"""So long all else waits for the server's time: what was dated before the clocks were compared may be dated wrong."""


LogReader = Callable[[LogTarget], Awaitable[PodLog]]
"""Reads the log of a container once; says in the answer what could not be read."""


class ConnectionFailed(Exception):  # noqa: N818 - not a fault of ours: it ends the program with its message
    """No connection can be made before the user changes something."""


async def _no_fault() -> str:
    return ""


def _told(situation: Situation, first: Iterable[str]) -> None:
    """Stands for a connection whose collectors need to know nothing."""


class Connected:
    """A running connection: which cluster it leads to, and how to ask for on-demand lists.

    `tell` is told once a second what is known, and which nodes are wanted first; `unheard` returns the names of the
    collectors besides those of the Kubernetes API that have not said anything yet.
    `own_fault` asks the server once more and returns why its answer says nothing about the cluster: credentials,
    certificates, a proxy or a login page in between. Empty when the answer, or the silence, is the server's own.
    `read_log` is None where there are no logs to be asked for, as in a recording.
    `notes` say how options were understood and which credentials are used, where that is not plain.
    """

    def __init__(
        self,
        target: Target,
        want: Callable[[frozenset[str]], None],
        server: str = "",
        own_fault: Callable[[], Awaitable[str]] = _no_fault,
        read_log: LogReader | None = None,
        tell: Callable[[Situation, Iterable[str]], None] = _told,
        unheard: Callable[[], Collection[str]] = tuple,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.target = target
        self.want = want
        self.server = server
        self.own_fault = own_fault
        self.read_log = read_log
        self.tell = tell
        self.unheard = unheard
        self.notes = notes


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
    local: bool = False
    """This host is a control-plane node: a cockpit without credentials for the API server is wanted too."""
    notes: tuple[str, ...] = ()
    """How options were understood, where that is not plain."""
    oidc_renew: bool = True
    """Ask an OpenID issuer for new tokens; False: that is left to kubectl."""
    serving: "VllmOptions | None" = None
    """Ways to the model servers; None: those that need no option."""
    configured: Configured = Configured()
    """What is said of the cluster itself."""
    clock: ClusterClock = msgspec.field(default_factory=ClusterClock)
    """Dates all readings, and is put right by the API server's; who judges them asks it for the time."""
    namespace_from: str = "--namespace"
    """What messages call the namespace's origin: the option, or file and key of the configuration."""

    @property
    def target(self) -> Target:
        """What is known of the target before connecting."""
        return Target(self.context or "", self.kubeconfig or "", self.namespace or "")

    @asynccontextmanager
    async def __call__(self, publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        """Connect and collect until left. Raises ConnectionFailed."""
        await asyncio.to_thread(_load)
        from collectors.errors import ConfigurationError
        from collectors.http import HttpReader
        from collectors.kubernetes.collect import kubernetes_collectors
        from collectors.kubernetes.on_demand import Wishes
        from collectors.runner import Runner
        from tui.other_sources import OtherSources

        check_namespace_name(self.namespace)
        http, wishes, clock = HttpReader(), Wishes(), self.clock
        ways = self.devices, self.etcd, self.serving
        try:
            access = await self.access()
            # It opens certificates and looks at files: the first keys must not wait for that.
            others = await asyncio.to_thread(OtherSources, access.client, http, *ways, clock)
        except ConfigurationError as error:
            raise ConnectionFailed(str(error)) from error
        client = access.client
        async with client or nullcontext(), http, Runner(publish, clock) as runner, _compared(client):
            if self.configured != Configured():
                publish(Reading(CONFIGURED, SourceState.LIVE, clock(), self.configured, fresh_for_s=_ALWAYS_S))
            for collector in others.collectors:
                runner.start(collector)
            if client is None:
                for reading in not_read(clock()):
                    publish(reading)
            else:
                for collector in kubernetes_collectors(client, self.namespace, wishes=wishes, clock=clock):
                    runner.start(collector)
            yield self._connected(access, wishes.want, others.tell, lambda: runner.unheard & others.names)

    async def access(self) -> Access:
        """Return the way to the API server. Raises ConfigurationError."""
        from collectors.etcd.options import EtcdOptions
        from collectors.kubernetes.client import connect
        from collectors.kubernetes.exec_plugin import PLUGIN_DEADLINE_S

        deadline_s = self.plugin_deadline_s or PLUGIN_DEADLINE_S
        if self.local:
            kubernetes_dir = (self.etcd or EtcdOptions()).kubernetes_dir
            return await local_access(
                self.kubeconfig, self.context, kubernetes_dir, deadline_s, self.clock, oidc_renew=self.oidc_renew
            )
        client = await connect(
            self.kubeconfig,
            self.context,
            clock=self.clock,
            plugin_deadline_s=deadline_s,
            oidc_renew=self.oidc_renew,
        )
        return Access(client, self.kubeconfig or "")

    def _connected(
        self,
        access: Access,
        want: Callable[[frozenset[str]], None],
        tell: Callable[[Situation, Iterable[str]], None],
        unheard: Callable[[], Collection[str]],
    ) -> Connected:
        from collectors.kubernetes.pod_logs import read_pod_log

        client, notes = access.client, (*self.notes, *access.notes)
        target = Target(client.context if client else "", access.kubeconfig, self.namespace or "")
        if client is None:
            return Connected(target, want, tell=tell, unheard=unheard, notes=notes)
        return Connected(
            target,
            want,
            client.server,
            lambda: _own_fault(client, self.namespace),
            lambda log: read_pod_log(client, log, self.clock),
            tell,
            unheard,
            notes,
        )


@asynccontextmanager
async def _compared(client: "Client | None") -> AsyncIterator[None]:
    """Wait for the first answer, which tells the server's time, but not for long: it may hang, or its plugin ask."""
    if client is None:
        yield
        return
    asking = asyncio.create_task(client.compare_clocks())
    try:
        await asyncio.wait({asking}, timeout=_COMPARED_WITHIN_S)
        yield
    finally:
        asking.cancel()
        await asyncio.wait({asking})


_PARTS: Final = ("collectors.kubernetes.collect", "collectors.kubernetes.pod_logs", "tui.other_sources")
"""What a connection consists of."""


def _load() -> None:
    """Import them: a tenth of a second and more, so it is done in a thread."""
    for name in _PARTS:
        import_module(name)


async def _own_fault(client: "Client", namespace: str | None) -> str:
    from collectors.errors import BadAnswerError, ConfigurationError, ForbiddenError, SourceError, UnauthorizedError
    from collectors.kubernetes.lists import refusals_named
    from collectors.kubernetes.polls import parse_version

    pods = BY_NAME["pods"]
    try:
        _, body = await client.get("/version", deadline_s=_FAULT_DEADLINE_S)
        parse_version(body, client.server)
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
    from collectors.gpu_devices.options import DeviceOptions

    return DeviceOptions(
        tuple(dcgm) or config.dcgm,
        config.prometheus if prometheus is None else prometheus,
        config.prometheus_token_file,
        config.gpu_nodes,
    )


def serving_options(vllm: Iterable[str], prometheus: str | None, config: "Config") -> "VllmOptions":
    """Return the ways to model servers that the command line asks for; the configuration says the rest."""
    from collectors.vllm.options import VllmOptions

    return VllmOptions(
        tuple(vllm) or config.vllm,
        config.prometheus if prometheus is None else prometheus,
        config.prometheus_token_file,
        config.vllm_servers,
        config.vllm_pods,
        config.vllm_skipped_pods,
        config.vllm_cacert,
    )


def check_namespace_name(namespace: str | None) -> None:
    """Raise ConnectionFailed for a name that no namespace can have: it would become part of a path."""
    if namespace and not is_namespace_name(namespace):
        raise ConnectionFailed(f"--namespace {namespace!r}: {NOT_A_NAMESPACE}")


def path_text(path: Path | None) -> str | None:
    """A path as an option's value: absolute, because commands that carry it are pasted elsewhere."""
    return None if path is None else str(path.expanduser().absolute())
