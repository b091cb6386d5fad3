"""Keys of the configuration that lead to servers of one cluster: which of them count for the cluster that is asked for.

Two clusters may have the same names throughout; what one's etcd says must not be told of the other.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tui.config import ETCD_KEYS, Config

if TYPE_CHECKING:
    from tui.reach import Reach

KEYS: Final = (*ETCD_KEYS, "prometheus", "prometheus_token_file", "dcgm", "vllm", "vllm_cacert")


class Counted(NamedTuple):
    """The configuration without what is for another cluster, and what people should know of that."""

    config: Config
    notes: tuple[str, ...] = ()


def counted(config: Config, reach: "Reach") -> Counted:
    """Return what counts of the configuration, where the command line asks for a cluster.

    Where the file names a context or a kubeconfig, its keys are for these only; where it names none, they count and a
    note says so. A token is sent to the Prometheus that stands beside it, to no other.
    """
    file = reach.config_file
    given = config.given(KEYS)
    told = [key for key in given if key not in set(_overruled(reach))]
    if belongs_to := _other_than(config, reach):
        notes = (f"{file}: for {belongs_to}, so not used here: {', '.join(told)}",) if told else ()
        return Counted(config.without(given), notes)
    notes = ()
    if "prometheus_token_file" in told and reach.prometheus and not _same_url(reach.prometheus, config.prometheus):
        from collectors.urls import without_password

        url = without_password(reach.prometheus)
        notes = (f"{file}: prometheus_token_file is not sent to {url}, only to the prometheus of the same file",)
        config = config.without(["prometheus_token_file"])
        told.remove("prometheus_token_file")
    if told and (lacking := _lacking(config, reach)):
        notes = (*notes, f"from {file}, which sets no {lacking}: {', '.join(told)}")
    return Counted(config, notes)


def _overruled(reach: "Reach") -> Iterator[str]:
    """Yield the keys in whose place something is given."""
    etcd = reach.etcd
    given = {
        "etcd_endpoints": etcd.endpoints,
        "etcd_cacert": etcd.cacert,
        "etcd_cert": etcd.cert or etcd.key,
        "etcd_key": etcd.cert or etcd.key,
        "etcd_metrics": etcd.metrics,
        "prometheus": reach.prometheus is not None,
        "prometheus_token_file": reach.prometheus == "",
        "dcgm": reach.dcgm,
        "vllm": reach.vllm,
    }
    yield from (key for key, value in given.items() if value)


def _other_than(config: Config, reach: "Reach") -> str:
    """Return what the configuration is for, if something else is asked for."""
    if config.context and reach.context is not None and reach.context != config.context:
        return f"context {config.context}"
    if config.kubeconfig and reach.kubeconfig is not None:
        if reach.kubeconfig.expanduser().resolve() != Path(config.kubeconfig).resolve():
            return f"kubeconfig {config.kubeconfig}"
    return ""


def _lacking(config: Config, reach: "Reach") -> str:
    """Return what the configuration would have to set for its keys to be those of one cluster, empty if they are."""
    if not config.context:
        return "context"
    return "kubeconfig" if reach.kubeconfig is not None and not config.kubeconfig else ""


def _same_url(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")
