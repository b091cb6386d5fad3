"""How clients reach the members of etcd."""

import msgspec


class EtcdWay(msgspec.Struct, frozen=True):
    """How clients reach the members: one URL each, in the same order."""

    endpoints: tuple[str, ...] = ()
    metrics_urls: tuple[str, ...] = ()
    """Without TLS, as `--listen-metrics-urls`."""
    cacert: str = ""
    """Paths of the three files that a client needs; empty without TLS."""
    cert: str = ""
    key: str = ""
