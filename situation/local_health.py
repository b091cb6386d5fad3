"""What the control plane's components on this host answer on loopback: known without an API server."""

import msgspec


class LocalCheck(msgspec.Struct, frozen=True):
    """One health endpoint of one component."""

    component: str
    """`kube-apiserver`, `kube-scheduler`, `kube-controller-manager`, `kubelet`."""
    url: str
    """`https://127.0.0.1:6443/livez?exclude=etcd`."""
    healthy: bool | None
    """None: it answers, but does not say (anonymous requests are refused)."""
    text: str = ""
    """For people: why it is not healthy, or not known."""
    failed_checks: tuple[str, ...] = ()

    @property
    def check(self) -> str:
        """`livez`, `readyz` or `healthz`."""
        return self.url.rpartition("/")[2].partition("?")[0]


class LocalHealth(msgspec.Struct, frozen=True):
    """All components that this host should run, the API server first: replaces what was known before."""

    node: str
    """This host's name, as the system has it."""
    checks: tuple[LocalCheck, ...]
