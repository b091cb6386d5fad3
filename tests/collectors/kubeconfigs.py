"""Kubeconfigs, clocks and certificates for tests of credentials."""

import base64
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from collectors.errors import SourceError
from collectors.kubernetes.client import Client, connect
from collectors.kubernetes.cluster_clock import ClusterClock
from situation.clock import utc_now

needs_openssl = pytest.mark.skipif(which("openssl") is None, reason="certificates are made with openssl")


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def kubeconfig(folder: Path, server: str, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    file = folder / "kubeconfig"
    data = {
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "prod",
    }
    file.write_text(yaml.safe_dump(data))
    return file


async def connected(file: Path, clock: Clock | None = None, **options: Any) -> Client:
    return await connect(str(file), environ={}, clock=ClusterClock(clock or utc_now), **options)


async def error_of(file: Path, **options: Any) -> SourceError:
    """Connect and ask for the version; return what went wrong."""
    async with await connected(file, **options) as client:
        with pytest.raises(SourceError) as raised:
            await client.get("/api/v1/pods", deadline_s=5)
    return raised.value


class Certificates:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run("req", "-x509", *self._key("ca"), "-days", "2", "-subj", "/CN=test-ca", "-out", "ca.pem")

    def issue(self, name: str, *, host: str = "IP:127.0.0.1", days: str = "2") -> tuple[str, str]:
        """Return certificate and key of a new name signed by the authority; `days` may be negative."""
        self._run("req", *self._key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (self.folder / "ext").write_text(f"subjectAltName={host}\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days, "-extfile", "ext")
        self._run("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def _key(self, name: str) -> tuple[str, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


def encoded(file: str) -> str:
    return base64.b64encode(Path(file).read_bytes()).decode()


def server_context(certificates: Certificates, name: str = "server", **options: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificates.issue(name, **options))
    return context
