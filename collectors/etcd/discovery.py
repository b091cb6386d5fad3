"""Where the members are and with which certificates they are asked: as the user says, as kubeadm's files on this host
say, or as the API shows it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from collectors.errors import ConfigurationError, ForbiddenError, SourceError
from collectors.etcd.credentials import AS_ROOT, Credentials, CredentialsKeeper, Files, Read
from collectors.etcd.manifest import CLIENT_PORT, ApiServerFlags, EtcdFlags, parse_api_server, parse_manifest
from collectors.etcd.options import ENDPOINTS, EtcdOptions
from collectors.etcd.wishes import EtcdPod, EtcdWishes
from situation.etcd.members import EtcdAccess, ListedMember
from situation.readings import SourceState
from situation.text import harmless

BY_PODS: Final = "pods in kube-system"
KUBERNETES_DIR: Final = Path("/etc/kubernetes")
_PAIRS: Final = ("etcd/healthcheck-client", "apiserver-etcd-client", "etcd/server")
"""Client certificates that kubeadm makes, the most modest first; the server's may be used as a client's too."""
_FILES_WANTED: Final = "--etcd-cacert, --etcd-cert and --etcd-key"


class Target(NamedTuple):
    """One member to be asked."""

    endpoint: str
    metrics_url: str = ""
    """Where metrics are served apart from the client port."""
    name: str = ""
    node: str = ""


class Found(NamedTuple):
    """What the search brought."""

    targets: tuple[Target, ...]
    access: EtcdAccess | None
    credentials: Credentials | None = None
    state: SourceState = SourceState.LIVE
    error: str = ""


class Discovery:
    """Looks for the members; each time anew, as files and pods change. `read` reads a file of this host."""

    def __init__(
        self, options: EtcdOptions, wishes: EtcdWishes, keeper: CredentialsKeeper, read: Read = Path.read_bytes
    ) -> None:
        self._options = options
        self._wishes = wishes
        self._keeper = keeper
        self._read = read
        self._manifest_path = options.kubernetes_dir / "manifests" / "etcd.yaml"
        self._api_server_path = options.kubernetes_dir / "manifests" / "kube-apiserver.yaml"

    @property
    def given(self) -> int:
        """How many members the user has named."""
        return len(self._options.endpoints)

    @property
    def folder(self) -> Path:
        """Where kubeadm's files are looked for."""
        return self._options.kubernetes_dir

    def find(self, listed: Sequence[ListedMember] = ()) -> Found:
        """Search in order: the options, this host's files, the API. `listed` is the member list if known.

        Blocks. What cannot be used is told in the result, never raised.
        """
        if self._options.endpoints:
            given = self._options.with_metrics().items()
            targets = tuple(Target(url, metrics, *self._names(url, listed)) for url, metrics in given)
            return self._with_credentials(targets, self._files(), self._options.named_by, is_named=True)
        try:
            if (content := self._content(self._manifest_path)) is not None:
                flags = parse_manifest(content, str(self._manifest_path))
                targets = self._of_kubeadm(flags, listed)
                return self._with_credentials(targets, self._files(flags), str(self._manifest_path))
            if (content := self._content(self._api_server_path)) is not None:
                elsewhere = parse_api_server(content, str(self._api_server_path))
                if elsewhere.servers:
                    return self._elsewhere(elsewhere, listed)
        except SourceError as error:
            return self._by_pods(error)
        return self._by_pods(None)

    def _content(self, path: Path) -> bytes | None:
        """Return what is in a manifest, None if there is none. Raises SourceError."""
        shown = harmless(str(path))
        try:
            return self._read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise ForbiddenError(f"{shown}: permission denied; {AS_ROOT}") from error
        except OSError as error:
            raise ConfigurationError(f"{shown}: cannot be read: {error.strerror}") from error

    def _elsewhere(self, flags: ApiServerFlags, listed: Sequence[ListedMember]) -> Found:
        """An etcd that this host's API server uses and that runs on other hosts."""
        targets = tuple(Target(url, "", *self._names(url, listed)) for url in flags.servers)
        given = self._options.files
        files = given if any(given) else Files(*(path and str(self._moved(Path(path))) for path in flags.files))
        return self._with_credentials(targets, files, str(self._api_server_path))

    def _of_kubeadm(self, flags: EtcdFlags, listed: Sequence[ListedMember]) -> tuple[Target, ...]:
        """The member of this host, and the others of its list: kubeadm names members after their nodes."""
        own = Target(flags.client_urls[0], next(iter(flags.metrics_urls), ""), flags.name, flags.name)
        others = (
            Target(item.client_urls[0].rstrip("/"), "", item.name, item.name)
            for item in listed
            if item.client_urls and item.name != flags.name and not _same_urls(item, flags.client_urls)
        )
        return (own, *others)

    def _by_pods(self, obstacle: SourceError | None) -> Found:
        pods, files = self._wishes.pods, self._files()
        if not pods:
            return self._nothing(obstacle)
        seen = f"etcd runs in {len(pods)} pods in kube-system" if len(pods) > 1 else f"etcd runs in pod {pods[0].name}"
        if not files.cert:
            why = f" ({obstacle})" if obstacle else ""
            error = f"{seen}, but a client certificate is needed to ask it{why}: {_FILES_WANTED} name it"
            return Found((), _on_node(pods[0]), None, _state(obstacle), error)
        targets = tuple(Target(_url(pod.host), "", pod.name, pod.node) for pod in pods)
        return self._with_credentials(targets, files, BY_PODS)

    def _nothing(self, obstacle: SourceError | None) -> Found:
        if obstacle is not None:
            here = str(obstacle)
        else:
            here = f"{harmless(str(self._manifest_path))} is not on this host"
        if self._wishes.knows_pods:
            pods = "no pod with the labels component=etcd and tier=control-plane is to be seen in kube-system"
        else:
            pods = "pods in kube-system cannot be looked at"
        error = (
            f"etcd was not found: {ENDPOINTS} is not given; {here}; {pods}. If it can be reached from here, say where "
            f"with {ENDPOINTS}, {_FILES_WANTED}; a managed control plane does not show its etcd"
        )
        wanted = obstacle is None and (any(self._options.files) or bool(self._options.metrics_urls))
        return Found((), None, None, SourceState.UNREACHABLE if wanted else _state(obstacle), error)

    def _with_credentials(
        self, targets: tuple[Target, ...], files: Files, found_by: str, *, is_named: bool = False
    ) -> Found:
        access = EtcdAccess(*files, found_by=found_by, is_named=is_named)
        try:
            credentials = self._keeper.current(files)
        except SourceError as error:
            return Found(targets, access, None, error.state, harmless(str(error)))
        return Found(targets, access, credentials)

    def _files(self, flags: EtcdFlags | None = None) -> Files:
        """The files that are given, else kubeadm's on this host; those that may not be read too, to be named."""
        given = self._options.files
        if any(given):
            return given
        folder = self._options.kubernetes_dir
        pair = next((pair for pair in _PAIRS if _is_there(folder / "pki" / f"{pair}.crt")), "")
        ca = folder / "pki" / "etcd" / "ca.crt"
        if flags is not None and flags.trusted_ca:
            ca = self._moved(Path(flags.trusted_ca))
        if not pair:
            return Files(str(ca)) if _is_there(ca) else Files()
        return Files(str(ca), str(folder / "pki" / f"{pair}.crt"), str(folder / "pki" / f"{pair}.key"))

    def _moved(self, path: Path) -> Path:
        """Return where a file that a manifest names is, if kubeadm's folder is looked at elsewhere."""
        if not path.is_relative_to(KUBERNETES_DIR):
            return path
        return self._options.kubernetes_dir / path.relative_to(KUBERNETES_DIR)

    def _names(self, url: str, listed: Sequence[ListedMember]) -> tuple[str, str]:
        """Return the name and the node of the member at a URL, as far as the list and the pods tell."""
        name = next((item.name for item in listed if _same_urls(item, (url,))), "")
        host = urlsplit(url).hostname
        pod = next((pod for pod in self._wishes.pods if pod.host == host), None)
        return name or (pod.name if pod else ""), pod.node if pod else ""


def _on_node(pod: EtcdPod) -> EtcdAccess:
    """kubeadm's own files, which are on the control plane nodes and not here."""
    pki = KUBERNETES_DIR / "pki" / "etcd"
    cert, key = (str(pki / f"healthcheck-client.{ending}") for ending in ("crt", "key"))
    return EtcdAccess(str(pki / "ca.crt"), cert, key, pod.node, BY_PODS)


def _state(obstacle: SourceError | None) -> SourceState:
    return SourceState.ABSENT if obstacle is None else obstacle.state


def _url(host: str) -> str:
    return f"https://[{host}]:{CLIENT_PORT}" if ":" in host else f"https://{host}:{CLIENT_PORT}"


def _same_urls(item: ListedMember, urls: Sequence[str]) -> bool:
    return any(url.rstrip("/") in urls for url in item.client_urls)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True
