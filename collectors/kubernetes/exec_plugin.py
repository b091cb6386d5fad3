"""Runs a kubeconfig's exec plugin: without a terminal, with a deadline, and with errors that reach the user."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

import msgspec

from collectors.errors import ConfigurationError, UnauthorizedError
from situation.text import harmless

PLUGIN_DEADLINE_S: Final = 30.0
_OUTPUT_SHOWN: Final = 300

_LOGIN: Final = {
    "aws": "aws sso login",
    "aws-iam-authenticator": "aws sso login",
    "gke-gcloud-auth-plugin": "gcloud auth login",
    "gcloud": "gcloud auth login",
    "kubelogin": "az login",
    "az": "az login",
    "doctl": "doctl auth init",
    "oci": "oci session authenticate",
    "tsh": "tsh login",
}
"""How the people who use a plugin log in again: from the vendors' command line references."""


class PluginCredentials(msgspec.Struct, frozen=True):
    """What a plugin gave: a bearer token, a client certificate with its key (PEM), or both."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires_at: datetime | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


def login_hint(command: str, kubectl: str) -> str:
    """Return what to run to get new credentials from a plugin: its login, else `kubectl`, which may ask."""
    login = _LOGIN.get(PurePath(command).name)
    return f"renew with: {login}" if login else f"run `{kubectl}` in a terminal to log in again"


async def run_plugin(
    config: Mapping[str, Any],
    cluster: Mapping[str, Any],
    where: str,
    kubectl: str,
    deadline_s: float = PLUGIN_DEADLINE_S,
) -> PluginCredentials:
    """Run the plugin that `config` (the `exec` section of a kubeconfig user) describes.

    `cluster` is handed over if the plugin asks for it (`provideClusterInfo`). `where` names the kubeconfig in messages,
    `kubectl` is a command that has kubectl run the plugin for the same user. Raises ConfigurationError for a section
    that cannot be run, UnauthorizedError when the plugin gives no credentials.
    """
    command, version = config.get("command"), config.get("apiVersion")
    if not isinstance(command, str) or not command:
        raise ConfigurationError(f"{where}: exec: command is missing")
    if not isinstance(version, str) or not version.startswith("client.authentication.k8s.io/"):
        raise ConfigurationError(f"{where}: exec: apiVersion must be client.authentication.k8s.io/v1, not {version!r}")
    name = PurePath(command).name
    environ = _environment(config, cluster, version, where)
    if shutil.which(command, path=environ.get("PATH")) is None:
        hint = str(config.get("installHint") or "").strip()
        raise UnauthorizedError(
            f"exec plugin {name!r} not found: install it, or put it on the PATH ({where})"
            + (f". {hint}" if hint else "")
        )
    arguments = [str(argument) for argument in config.get("args") or ()]
    login = f"{login_hint(name, kubectl)} ({where})"
    output = await _run(command, arguments, environ, name, login, deadline_s)
    return _parse(output, version, f"exec plugin {name!r}", login, where)


def _environment(config: Mapping[str, Any], cluster: Mapping[str, Any], version: str, where: str) -> dict[str, str]:
    environ = dict(os.environ)
    for variable in config.get("env") or ():
        if not isinstance(variable, dict) or not variable.get("name"):
            raise ConfigurationError(f"{where}: exec: each entry of env needs name and value")
        environ[str(variable["name"])] = str(variable.get("value") or "")
    spec: dict[str, Any] = {"interactive": False}
    if config.get("provideClusterInfo"):
        spec["cluster"] = {
            key: cluster[key]
            for key in (
                "server",
                "tls-server-name",
                "insecure-skip-tls-verify",
                "certificate-authority-data",
                "proxy-url",
            )
            if key in cluster
        }
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    environ["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(info).decode()
    return environ


async def _run(
    command: str, arguments: list[str], environ: dict[str, str], name: str, login: str, deadline_s: float
) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *arguments,
            env=environ,
            # The terminal belongs to the cockpit: a plugin that asks must fail, not wait for keys.
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UnauthorizedError(f"exec plugin {name!r} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(deadline_s):
            output, complaints = await process.communicate()
    except TimeoutError as error:
        raise UnauthorizedError(
            f"exec plugin {name!r} did not answer within {deadline_s:g} s: it may be waiting for a login; {login}"
        ) from error
    finally:
        if process.returncode is None:
            _kill_group(process.pid)
            await process.wait()
    if process.returncode != 0:
        said = harmless(complaints.decode("utf-8", "replace").strip()[-_OUTPUT_SHOWN:])
        raise UnauthorizedError(
            f"exec plugin {name!r} failed with exit code {process.returncode}: {said or 'it said nothing'}; {login}"
        )
    return output


def _kill_group(pid: int) -> None:
    """Kill the plugin and what it started: a child that holds the pipes would keep us waiting."""
    try:
        os.killpg(pid, 9)
    except ProcessLookupError:
        return


def _parse(output: bytes, version: str, plugin: str, login: str, where: str) -> PluginCredentials:
    try:
        credential = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnauthorizedError(f"{plugin} printed no ExecCredential: {harmless(str(error))}; {login}") from error
    status = credential.status
    if credential.kind != "ExecCredential" or status is None:
        raise UnauthorizedError(f"{plugin} printed no ExecCredential with a status; {login}")
    if credential.api_version != version:
        raise UnauthorizedError(
            f"{plugin} answered in apiVersion {credential.api_version!r}, the kubeconfig says {version!r}: "
            f"update the plugin, or the kubeconfig ({where})"
        )
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise UnauthorizedError(f"{plugin} gave neither a token nor a certificate with key ({where})")
    return PluginCredentials(
        status.token, status.client_certificate_data, status.client_key_data, status.expiration_timestamp
    )
