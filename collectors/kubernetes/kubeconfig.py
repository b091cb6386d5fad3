"""Finds and reads kubeconfig files: one context with its cluster and user, file names made absolute.

Merging follows kubectl (Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files"): the first file
that names a thing wins; relative file names belong to the file they stand in.
"""

import base64
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from collectors.errors import ConfigurationError, NoKubeconfigError
from collectors.kubernetes.kubeconfig_types import check_cluster, check_user
from situation.text import harmless

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_FILE_KEYS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class Kubeconfig(msgspec.Struct, frozen=True):
    """One context, ready to be used."""

    path: str
    """The file or files it came from, for messages; `in-cluster` inside a pod."""
    context: str
    namespace: str
    cluster: dict[str, Any]
    user: dict[str, Any]
    user_name: str = ""
    given: str = ""
    """The path that was given for it: kubectl finds any other by itself."""

    @property
    def login(self) -> str:
        """The command that has kubectl get new credentials for the same user, which may ask."""
        options = ("--kubeconfig", harmless(self.given)) if self.given else ()
        return shlex.join(("kubectl", *options, "--context", harmless(self.context), "get", "ns"))

    @property
    def server(self) -> str:
        return str(self.cluster["server"]).rstrip("/")

    @property
    def in_cluster(self) -> bool:
        return self.path == "in-cluster"


def find_kubeconfig(
    path: str | None, context: str | None, environ: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT
) -> Kubeconfig:
    """Return the configuration kubectl would use, read from the disk now.

    `path` is the argument `--kubeconfig`, else `KUBECONFIG` of `environ` (several paths, separated as in PATH), else
    `~/.kube/config`, else the service account of the pod we run in (`service_account`: its mounted folder). Raises
    ConfigurationError.
    """
    if path:
        found = read_kubeconfig([Path(path).expanduser()], context, must_exist=True)
        return msgspec.structs.replace(found, given=path)
    listed = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    candidates = listed or [Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"]
    if any(candidate.exists() for candidate in candidates):
        return read_kubeconfig(candidates, context, must_exist=False)
    if environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists():
        return _in_cluster(environ, context, service_account)
    looked = ", ".join(str(candidate) for candidate in candidates)
    origin = "KUBECONFIG names" if listed else "there is no"
    looked += ", which does not exist" if listed else ""
    raise NoKubeconfigError(
        f"no cluster configured: {origin} {looked}, and this is not a pod with a service account; "
        "pass --kubeconfig PATH; `midwatch check --dump PATH` reads a dump, `midwatch demo` needs no cluster"
    )


def read_kubeconfig(paths: list[Path], context: str | None, *, must_exist: bool) -> Kubeconfig:
    """Merge kubeconfig files and pick `context` (None: the current one). Raises ConfigurationError."""
    found = [(path, _read_file(path)) for path in paths if must_exist or path.exists()]
    label = os.pathsep.join(str(path) for path, _ in found)
    contexts, clusters, users = (_merged(found, section) for section in ("contexts", "clusters", "users"))
    current = next((str(data["current-context"]) for _, data in found if data.get("current-context")), "")
    name = context or current
    there = f"there are: {', '.join(sorted(contexts))}" if contexts else "it has no contexts at all"
    if not name:
        raise ConfigurationError(f"{label}: no current-context is set; choose one with --context ({there})")
    if name not in contexts:
        raise ConfigurationError(f"{label}: no context {name!r}; {there}")
    chosen = _section(contexts[name][1], "context", f"{label}: context {name!r}")
    cluster_name, user_name = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
    if cluster_name not in clusters:
        raise ConfigurationError(f"{label}: context {name!r} names cluster {cluster_name!r}, which is not there")
    if user_name and user_name not in users:
        raise ConfigurationError(f"{label}: context {name!r} names user {user_name!r}, which is not there")
    cluster = _with_absolute_files(clusters[cluster_name], "cluster", label)
    server = cluster.get("server")
    if not _is_server_url(server):
        raise ConfigurationError(
            f"{label}: cluster {cluster_name!r}: server must be an http:// or https:// URL, not {server!r}"
        )
    user = _with_absolute_files(users[user_name], "user", label) if user_name else {}
    return Kubeconfig(label, name, str(chosen.get("namespace") or "default"), cluster, user, user_name)


def _is_server_url(server: object) -> bool:
    if not isinstance(server, str) or not server.startswith(("http://", "https://")):
        return False
    try:
        parts = urlsplit(server)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, or too large; brackets that do not match
        return False


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such kubeconfig file") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read it: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a kubeconfig: not a text file") from error
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigurationError(f"{path}: {where}broken YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: broken YAML: {error}") from error
    if data is None:
        raise ConfigurationError(f"{path}: the kubeconfig is empty")
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: not a kubeconfig: expected keys such as clusters and contexts")
    return data


_Entry = tuple[Path, dict[str, Any]]


def _merged(files: list[tuple[Path, dict[str, Any]]], section: str) -> dict[str, _Entry]:
    merged: dict[str, _Entry] = {}
    for path, data in files:
        entries = data.get(section) or []
        if not isinstance(entries, list):
            raise ConfigurationError(f"{path}: {section} must be a list")
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or not entry.get("name"):
                raise ConfigurationError(f"{path}: {section}[{number}] has no name")
            merged.setdefault(str(entry["name"]), (path, entry))
    return merged


def _section(entry: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: {key} must be a mapping")
    return value


def _with_absolute_files(entry: _Entry, key: str, label: str) -> dict[str, Any]:
    path, data = entry
    section = dict(_section(data, key, f"{label}: {key} {data['name']!r}"))
    (check_cluster if key == "cluster" else check_user)(section, f"{path}: {key} {data['name']!r}")
    folder = path.absolute().parent
    for file_key in _FILE_KEYS:
        # Inline data wins over a file of the same thing, as in client-go.
        if inline := section.get(f"{file_key}-data"):
            _check_inline(inline, f"{path}: {key} {data['name']!r}: {file_key}-data")
            section.pop(file_key, None)
        elif name := section.get(file_key):
            target = folder / name
            _check_readable(target, f"{path}: {key} {data['name']!r}: {file_key}")
            section[file_key] = str(target)
    plugin = section.get("exec")
    if plugin and os.sep in (plugin.get("command") or ""):
        section["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return section


def _check_inline(text: str, where: str) -> None:
    """Raise ConfigurationError for what is no certificate or key in base64: the TLS library would not say which."""
    try:
        held = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not base64: {error}") from error
    if b"-----BEGIN" not in held:
        raise ConfigurationError(f"{where}: no certificate or key in PEM in it")


def _check_readable(target: Path, where: str) -> None:
    try:
        with target.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{where}: cannot read {target}: {error.strerror}") from error


def _in_cluster(environ: Mapping[str, str], context: str | None, folder: Path) -> Kubeconfig:
    if context:
        raise ConfigurationError(
            f"--context {context} needs a kubeconfig; inside a pod there is only its service account"
        )
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    _check_readable(folder / "ca.crt", "service account of this pod")
    try:
        namespace = (folder / "namespace").read_text("utf-8").strip()
    except OSError:
        namespace = ""  # older kubelets mount no such file
    return Kubeconfig(
        "in-cluster",
        "in-cluster",
        namespace or "default",
        {
            "server": f"https://{f'[{host}]' if ':' in host else host}:{port}",
            "certificate-authority": str(folder / "ca.crt"),
        },
        {"tokenFile": str(folder / "token")},
        "service account",
    )
