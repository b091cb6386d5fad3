"""The configuration file: TOML, every key optional, nothing in it changes what Midwatch may do to a cluster."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from tui.paths import config_file
from tui.terminal import over_ssh

DEFAULT_THEME: Final = "midwatch-dark"
LOCAL_HZ: Final = 10.0
SSH_HZ: Final = 4.0
"""Over SSH six panes at 10 Hz cost 400 KiB/s of a line that may not have it."""


NAMESPACE_PATTERN: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""Names of namespaces (Kubernetes documentation, "Object Names and IDs": RFC 1123 labels)."""
NOT_A_NAMESPACE: Final = "not a name of a namespace (small letters, digits and dashes, 63 at most)"
_PATHS: Final = (
    "kubeconfig",
    "prometheus_token_file",
    "vllm_cacert",
    "etcd_cacert",
    "etcd_cert",
    "etcd_key",
    "kubernetes_dir",
)
ETCD_KEYS: Final = ("etcd_endpoints", "etcd_cacert", "etcd_cert", "etcd_key", "etcd_metrics")


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the file and the key."""


class Config(msgspec.Struct, frozen=True):
    """What the person wants, command line not yet considered."""

    theme: str = DEFAULT_THEME
    """Name of a colour theme, shipped, Textual's, or one of your own."""
    kubeconfig: str = ""
    """Path of the kubeconfig; empty: `$KUBECONFIG`, `~/.kube/config`, or the cluster that we run in."""
    context: str = ""
    """Kubeconfig context; empty: the current one."""
    namespace: str = ""
    """Read this namespace only; empty: all."""
    refresh_hz: Annotated[float, msgspec.Meta(ge=0.5, le=30)] | None = None
    """Redraws a second at most; None: LOCAL_HZ, and SSH_HZ over SSH."""
    mouse: bool | None = None
    """Take the mouse; None: not over SSH, where its reports cost bytes and it keeps the terminal from selecting."""
    animations: bool | None = None
    """Animate scrolling; None: not over SSH, where it costs six times the bytes."""
    keys: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Binding id to its keys, separated by commas, instead of the default ones."""
    dcgm: tuple[str, ...] = ()
    """URLs of DCGM exporters that are asked directly, besides those found in the cluster."""
    prometheus: str = ""
    """URL of a Prometheus that scrapes the DCGM exporters and the model servers; empty: none is asked."""
    prometheus_token_file: str = ""
    """File with a bearer token for it; empty: none is sent."""
    gpu_nodes: Annotated[int, msgspec.Meta(ge=0, le=256)] = 16
    """Exporters asked through the API server every quarter of a minute, at most; 0: none."""
    gpu_operator_namespace: Annotated[str, msgspec.Meta(pattern=f"^({NAMESPACE_PATTERN})?$")] = ""
    """Where the GPU Operator lives; empty: it is found out."""
    vllm: tuple[str, ...] = ()
    """URLs of model servers that are asked directly, besides those found in the cluster."""
    vllm_servers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 16
    """Model servers asked through the API server every five seconds, at most; 0: none."""
    vllm_pods: tuple[str, ...] = ()
    """Patterns `namespace/pod`: these pods are model servers although neither image nor command line shows it."""
    vllm_skipped_pods: tuple[str, ...] = ()
    """Patterns `namespace/pod`: these pods are not asked."""
    vllm_cacert: str = ""
    """File with the CA that signed the certificates of model servers that are asked directly."""
    etcd_endpoints: tuple[str, ...] = ()
    """Client URLs of etcd's members; empty: they are looked for on this host, then in the cluster."""
    etcd_cacert: str = ""
    """File with the CA that signed the members' certificates."""
    etcd_cert: str = ""
    """Client certificate for etcd; goes with `etcd_key`."""
    etcd_key: str = ""
    """Key of the client certificate."""
    etcd_metrics: tuple[str, ...] = ()
    """URLs where members serve metrics apart from the client port."""
    kubernetes_dir: str = "/etc/kubernetes"
    """Where kubeadm keeps manifests and certificates on a control-plane node."""
    oidc_renew: bool = True
    """Renew the id-token of a kubeconfig's `oidc` section with the issuer; False: only kubectl does."""

    @property
    def speaks_of_etcd(self) -> bool:
        """Tell whether anything is set that concerns etcd, or where its files are."""
        return bool(self.given((*ETCD_KEYS, "kubernetes_dir")))

    def given(self, keys: Iterable[str]) -> list[str]:
        """Return those of the keys that are set to something."""
        default = Config()
        return [key for key in keys if getattr(self, key) != getattr(default, key)]

    def without(self, keys: Iterable[str]) -> "Config":
        """Return the same without what is said under these keys."""
        default = Config()
        return msgspec.structs.replace(self, **{key: getattr(default, key) for key in keys})

    @property
    def look(self) -> "Config":
        """What of it concerns screen and keys alone, and leads to no cluster."""
        return Config(
            theme=self.theme,
            refresh_hz=self.refresh_hz,
            mouse=self.mouse,
            animations=self.animations,
            keys=self.keys,
        )

    def redraws_per_s(self, environ: Mapping[str, str]) -> float:
        """Return the highest rate of redraws in Hz for this terminal."""
        if self.refresh_hz is not None:
            return self.refresh_hz
        return SSH_HZ if over_ssh(environ) else LOCAL_HZ

    def takes_mouse(self, environ: Mapping[str, str]) -> bool:
        """Tell whether mouse reports are wanted from this terminal."""
        return not over_ssh(environ) if self.mouse is None else self.mouse

    def animates(self, environ: Mapping[str, str]) -> bool:
        """Tell whether scrolling may be animated on this terminal."""
        return not over_ssh(environ) if self.animations is None else self.animations


def load_config(path: Path | None = None) -> Config:
    """Read the configuration; without a path the user's own file, or the defaults if there is none.

    Raises ConfigError for a named file that is missing, a file that is not TOML, an unknown key and a bad value.
    """
    file = config_file() if path is None else path
    try:
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        if path is None:
            return Config()
        raise ConfigError(f"{file}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from error
    return parse_config(text, str(file))


def parse_config(text: str, name: str) -> Config:
    """Decode the text of a configuration file; `name` is what errors call it. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from error
    known = Config.__struct_fields__
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{name}: unknown key {key!r}{suggestion(key, known)}")
        values[key] = _keys(value, name) if key == "keys" else _checked(key, value, name)
    for key in _PATHS:
        if key in values:
            values[key] = _absolute(key, values[key], name)
    _check_urls(values, name)
    if (namespace := values.get("namespace")) and not is_namespace_name(namespace):
        raise ConfigError(f"{name}: namespace = {namespace!r}: {NOT_A_NAMESPACE}")
    return Config(**values)


def is_namespace_name(text: str) -> bool:
    """Tell whether a namespace can be called so; a name becomes part of a path."""
    return re.fullmatch(NAMESPACE_PATTERN, text) is not None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean WORD?` for the known word that is meant, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _checked(key: str, value: object, name: str) -> object:
    try:
        return getattr(msgspec.convert({key: value}, Config), key)
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at ")[0].replace(" | null", "").replace("Expected", "expected")
        raise ConfigError(f"{name}: {key} = {value!r}: {reason}") from None


def _absolute(key: str, value: str, name: str) -> str:
    if not value:
        return ""
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{name}: {key} = {value!r}: {error}") from None
    if not path.is_absolute():
        raise ConfigError(f"{name}: {key} = {value!r}: expected an absolute path, or one that starts with ~")
    return str(path)


def _check_urls(values: Mapping[str, Any], name: str) -> None:
    given = [("prometheus", url) for url in (values.get("prometheus"),) if url]
    given += [(key, url) for key in ("dcgm", "vllm") for url in values.get(key, ())]
    if not given:
        return  # before the first paint nothing is imported that is not needed
    from collectors.errors import ConfigurationError
    from collectors.http import check_url
    from collectors.vllm.collect import base_url

    for key, url in given:
        try:
            (base_url if key == "vllm" else check_url)(url, f"{name}: {key} =")
        except ConfigurationError as error:
            raise ConfigError(str(error)) from None


def _keys(value: object, name: str, prefix: str = "") -> dict[str, str]:
    """Flatten `[keys]`: TOML reads `table.down = "j"` as a table in a table."""
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: keys = {value!r}: expected a table of binding ids")
    flat: dict[str, str] = {}
    for key, wanted in value.items():
        binding = f"{prefix}{key}"
        if isinstance(wanted, dict):
            flat.update(_keys(wanted, name, f"{binding}."))
        elif isinstance(wanted, str):
            flat[binding] = _named(wanted)
        elif isinstance(wanted, list) and all(isinstance(item, str) for item in wanted):
            flat[binding] = ",".join(_named(item) for item in wanted)
        else:
            raise ConfigError(f"{name}: keys.{binding} = {wanted!r}: expected a key or a list of keys")
    return flat


def _named(key: str) -> str:
    return "comma" if key == "," else key  # a comma stands between keys


_SAMPLE: Final = """\
# Midwatch. Every line is optional; what is commented out shows the default.

# Colour theme: midwatch-dark, midwatch-light, midwatch-contrast, midwatch-safe (for colour-blindness), midwatch-plain
# (no colours at all), or the name of your own: a TOML file in the folder `themes` beside this file. One that has the
# name of a shipped theme takes its place.
# theme = "midwatch-dark"

# The cluster. Empty means what kubectl would take. The options of the command line win, also empty ones: -n "" reads
# all namespaces. What leads to servers of a cluster (dcgm, prometheus, vllm and what begins with etcd_, below) is used
# for the cluster that is set here and for no other; if none is set here, for every one, and a note says so.
# kubeconfig = ""
# context = ""

# Renew tokens of an OpenID issuer (auth-provider oidc) as kubectl does, but in memory only. Say false where the issuer
# gives a new refresh token with each use: the one in your kubeconfig would be spent, and kubectl ask for a login.
# oidc_renew = true

# Read this namespace only, if you have no rights in the whole cluster.
# namespace = ""

# GPUs. Exporters in the cluster are asked through the API server (needs the right to get pods/proxy): so many of them
# every 15 seconds at most, those that you look at and those with findings first; 0 asks none.
# gpu_nodes = 16

# Where the GPU Operator lives, if nothing in the cluster tells: it is stopped, or its parts may not be read.
# gpu_operator_namespace = ""

# DCGM exporters to be asked directly, and a Prometheus that scrapes them (and the model servers below): for rights that
# do not reach pods/proxy, and for large clusters. USER:PASSWORD@ in the URL is sent; a file may hold a bearer token,
# which goes to the prometheus that is set here and to no other.
# dcgm = []
# prometheus = ""
# prometheus_token_file = ""

# Model servers: vLLM, SGLang, TGI, Triton. Those in the cluster are found by image and command line, and asked through
# the API server (needs the right to get pods/proxy): so many of them every 5 seconds at most, those that you look at
# and those with findings first; 0 asks none. Where that is forbidden, their pods' IPs are tried.
# vllm_servers = 16

# Model servers to be asked directly, and the CA of their certificates, if it is not one that this machine trusts.
# vllm = ["http://10.0.0.7:8000"]
# vllm_cacert = ""

# Pods (namespace/pod, with * and ?) that are model servers although nothing shows it, and pods that are never asked.
# vllm_pods = ["serving/my-engine-*"]
# vllm_skipped_pods = ["sandbox/*"]

# etcd. Without these its members are looked for: on a control-plane node in the files of kubeadm, else among the pods
# of the cluster. To ask them needs the CA and a client certificate with its key; kubeadm has some on a control-plane
# node, in /etc/kubernetes/pki/etcd: ca.crt, healthcheck-client.crt and healthcheck-client.key.
# etcd_endpoints = ["https://10.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379"]
# etcd_cacert = ""
# etcd_cert = ""
# etcd_key = ""

# Where members serve metrics without certificates, if they do (--listen-metrics-urls of etcd).
# etcd_metrics = ["http://10.0.0.1:2381"]

# Where kubeadm keeps its files on this host: elsewhere, for example, where a pod mounts them.
# kubernetes_dir = "/etc/kubernetes"

# Redraws a second at most (0.5 to 30). Default: 10, over SSH 4.
# refresh_hz = 10

# Take the mouse. Default: true, over SSH false. Most terminals still select text with shift held down.
# mouse = true

# Animate scrolling. Default: true, over SSH false.
# animations = true

# Other keys: the id of a binding (the help, ?, lists them), and one key or several. The defaults of that binding go.
[keys]
# "table.down" = ["j", "down"]
# "table.up" = ["k", "up"]
"""


def default_config_text() -> str:
    """Return a commented configuration file; it changes nothing as it stands."""
    return _SAMPLE
