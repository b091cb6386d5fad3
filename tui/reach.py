"""What the command line says of the cluster and of the ways to it: the same for the cockpit, `check` and `doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tui.etcd_options import EtcdArguments, etcd_choice
from tui.paths import config_file

if TYPE_CHECKING:
    from tui.config import Config
    from tui.connection import KubernetesConnection


class Reach(NamedTuple):
    """What was given wins over the configuration, also where it is empty; the rest is taken from there."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    local: bool = False
    dcgm: tuple[str, ...] = ()
    prometheus: str | None = None
    vllm: tuple[str, ...] = ()
    etcd: EtcdArguments = EtcdArguments()
    config: Path | None = None
    """The configuration file."""

    @property
    def config_file(self) -> Path:
        """The configuration file that counts, whether there is one or not."""
        return self.config.expanduser() if self.config else config_file()

    @property
    def named_sources(self) -> tuple[str, ...]:
        """Names of the sources that were asked for by name on the command line."""
        asked = {
            "vllm/servers": self.vllm,
            "gpu/dcgm": self.dcgm,
            "gpu/prometheus": self.prometheus,
            "etcd/members": self.etcd.endpoints,
        }
        return tuple(name for name, given in asked.items() if given)

    def connection(self, config: "Config", plugin_deadline_s: float | None = None) -> "KubernetesConnection":
        """Return the way to the cluster; `plugin_deadline_s` are seconds for an exec plugin. Raises UsageProblem."""
        from situation.readings import Configured
        from tui.cluster_keys import counted
        from tui.connection import KubernetesConnection, device_options, path_text, serving_options

        config, notes = counted(config, self)
        etcd = etcd_choice(self.etcd, config, str(self.config_file))
        context = config.context if self.context is None else self.context
        namespace = config.namespace if self.namespace is None else self.namespace
        return KubernetesConnection(
            path_text(self.kubeconfig) or config.kubeconfig or None,
            context or None,
            namespace or None,
            plugin_deadline_s,
            device_options(self.dcgm, self.prometheus, config),
            etcd.options,
            self.local,
            (*notes, *etcd.notes),
            config.oidc_renew,
            serving_options(self.vllm, self.prometheus, config),
            Configured(config.gpu_operator_namespace, namespace),
            namespace_from="--namespace" if self.namespace is not None else f"{self.config_file}: namespace",
        )
