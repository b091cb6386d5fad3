"""CA and client certificate for etcd: read from files, checked, and read again when they change."""

import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from collectors.errors import BadAnswerError, ConfigurationError, ForbiddenError, UnauthorizedError
from collectors.http import Tls
from collectors.kubernetes.certificates import not_after
from situation.text import harmless

OPTIONS: Final = ("--etcd-cacert", "--etcd-cert", "--etcd-key")
AS_ROOT: Final = "run Midwatch as root there, or give copies of etcd's CA, client certificate and key"
_ENCRYPTED: Final = b"ENCRYPTED"
_OURS: Final = "it must be signed by etcd's CA (kubeadm: etcd/healthcheck-client or apiserver-etcd-client)"

PLAIN: Final = Tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "", "")
"""For servers without TLS; they are not asked through a proxy either."""

Read = Callable[[Path], bytes]
"""Reads a whole file. Raises OSError."""


class Files(NamedTuple):
    """Paths of the three files, empty for none; they have to be named in errors."""

    cacert: str = ""
    cert: str = ""
    key: str = ""

    def checked(self) -> "Files":
        """Return these paths. Raises ConfigurationError for a certificate without key, or a key without certificate."""
        if bool(self.cert) != bool(self.key):
            given, missing = OPTIONS[1:] if self.cert else OPTIONS[:0:-1]
            raise ConfigurationError(f"{given} is given without {missing}: a client certificate needs both")
        return self


class Credentials(NamedTuple):
    """What the files hold, ready for HTTP and for gRPC."""

    files: Files
    contents: tuple[bytes | None, bytes | None, bytes | None]
    """CA, certificate and key as PEM."""
    tls: Tls
    not_after: datetime | None
    """Of the client certificate."""

    def refused(self, endpoint: str) -> UnauthorizedError:
        """Return the error for a member that does not accept the client certificate, or wants one."""
        return UnauthorizedError(f"{endpoint} does not accept our certificate: {self.tls.refused}")

    def not_trusted(self, endpoint: str, said: str) -> BadAnswerError:
        """Return the error for a member whose certificate is not signed by the CA, or is for another name."""
        return BadAnswerError(f"certificate of {endpoint} is not accepted: {harmless(said)}; {self.tls.hint}")


def load(files: Files, now: datetime, read: Read = Path.read_bytes) -> Credentials:
    """Read and check the files. Raises ForbiddenError for one that may not be read, else ConfigurationError.

    Blocks: three small files, and without a CA all those that this machine trusts.
    """
    ca, cert, key = (_content(path, option, read) for path, option in zip(files, OPTIONS, strict=True))
    if ca is None:
        context, ca = ssl.create_default_context(), _trusted_here()
    else:
        context = ssl.create_default_context(cadata=_certificate_text(ca, files.cacert))
    expiry: datetime | None = None
    if cert is not None and key is not None:
        _certificate_text(cert, files.cert)
        _load_pair(context, files, key)
        expiry = not_after(cert)
    tls = Tls(context, _hint(files), _refusal(files, expiry, now))
    return Credentials(files, (ca, cert, key), tls, expiry)


def _trusted_here() -> bytes | None:
    """Return the CAs of this machine for gRPC, which would else bring its own; None where they are not in one file."""
    path = ssl.get_default_verify_paths().cafile
    try:
        return Path(path).read_bytes() if path else None
    except OSError:
        return None


def _content(path: str, option: str, read: Read) -> bytes | None:
    if not path:
        return None
    try:
        return read(Path(path))
    except PermissionError as error:
        raise ForbiddenError(f"{harmless(path)} ({option}): permission denied; {AS_ROOT}") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or str(error)
        raise ConfigurationError(f"{option}: cannot read {harmless(path)}: {harmless(why)}") from error


def _certificate_text(pem: bytes, path: str) -> str:
    try:
        text = pem.decode("ascii") if not_after(pem) else ""
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"{harmless(path)}: holds no certificate in PEM") from error
    return text


def _load_pair(context: ssl.SSLContext, files: Files, key: bytes) -> None:
    shown = harmless(files.key)
    if _ENCRYPTED in key:
        raise ConfigurationError(f"{shown}: the key is encrypted; a key without password is needed")
    if b"PRIVATE KEY-----" not in key:
        raise ConfigurationError(f"{shown}: holds no private key in PEM")
    try:
        context.load_cert_chain(files.cert, files.key)
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise ConfigurationError(f"{shown}: is not the key of {harmless(files.cert)}") from error
        raise ConfigurationError(f"{harmless(files.cert)}, {shown}: not usable: {harmless(str(error))}") from error
    except OSError as error:
        raise ConfigurationError(f"{harmless(files.cert)}, {shown}: {error.strerror}") from error


def _hint(files: Files) -> str:
    if files.cacert:
        return f"it is checked against {harmless(files.cacert)}, {OPTIONS[0]} can name another CA"
    return f"this machine's CAs are asked, {OPTIONS[0]} names etcd's own"


def _refusal(files: Files, expiry: datetime | None, now: datetime) -> str:
    if not files.cert:
        return f"it wants one from its clients; {OPTIONS[1]} and {OPTIONS[2]} name it"
    if expiry is not None and expiry <= now:
        return f"{harmless(files.cert)} expired on {expiry:%Y-%m-%d %H:%M} UTC; renew it (kubeadm certs renew)"
    return f"{harmless(files.cert)}: {_OURS}"


class CredentialsKeeper:
    """Holds the credentials of one set of files and reads them again when one of them changes."""

    def __init__(self, now: Callable[[], datetime], read: Read = Path.read_bytes) -> None:
        self._now = now
        self._read = read
        self._stamp: object = None
        self._held: Credentials | None = None

    def current(self, files: Files) -> Credentials:
        """Return the credentials; the same object as long as no file changed. Raises SourceError. Blocks."""
        stamp = (files, tuple(map(_stamp, files)), self._expired())
        if self._held is None or stamp != self._stamp:
            self._stamp, self._held = None, None
            self._held = load(files, self._now(), self._read)
            self._stamp = (files, tuple(map(_stamp, files)), self._expired())
        return self._held

    def _expired(self) -> bool:
        """The words of a refusal change with it."""
        return bool(self._held and self._held.not_after and self._held.not_after <= self._now())


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat() if path else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)
