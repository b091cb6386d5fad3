"""Checks that what a kubeconfig says of a cluster and a user has the types that kubectl reads there.

Types of client-go, `tools/clientcmd/api/v1/types.go`. Wrong ones, such as a text for a list of arguments, are refused
by kubectl too. Messages name the key and never show the value: it may be a secret.
"""

from collections.abc import Mapping
from typing import Any, Final

from collectors.errors import ConfigurationError

_NAMES: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
    type(None): "empty",
}
_CLUSTER: Final[Mapping[str, type]] = {
    "tls-server-name": str,
    "proxy-url": str,
    "certificate-authority": str,
    "certificate-authority-data": str,
    "insecure-skip-tls-verify": bool,
    "disable-compression": bool,
}
_USER: Final[Mapping[str, type]] = {
    "token": str,
    "tokenFile": str,
    "client-certificate": str,
    "client-certificate-data": str,
    "client-key": str,
    "client-key-data": str,
    "username": str,
    "password": str,
    "as": str,
    "as-uid": str,
    "as-groups": list,
    "exec": dict,
    "auth-provider": dict,
}
_PLUGIN: Final[Mapping[str, type]] = {
    "command": str,
    "apiVersion": str,
    "args": list,
    "env": list,
    "installHint": str,
    "interactiveMode": str,
    "provideClusterInfo": bool,
}
_VARIABLE: Final[Mapping[str, type]] = {"name": str, "value": str}
_PROVIDER: Final[Mapping[str, type]] = {"name": str, "config": dict}


def check_cluster(section: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError, naming `where` and the key, for a cluster with a value of the wrong type."""
    _check_keys(section, _CLUSTER, where)


def check_user(section: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError, naming `where` and the key, for a user with a value of the wrong type."""
    _check_keys(section, _USER, where)
    _check_items(section, "as-groups", str, where)
    plugin, provider = section.get("exec") or {}, section.get("auth-provider") or {}
    _check_keys(provider, _PROVIDER, f"{where}: auth-provider")
    where = f"{where}: exec"
    _check_keys(plugin, _PLUGIN, where)
    _check_items(plugin, "args", str, where)
    _check_items(plugin, "env", dict, where)
    for number, variable in enumerate(plugin.get("env") or ()):
        _check_keys(variable, _VARIABLE, f"{where}: env[{number}]")


def _check_keys(section: Mapping[str, Any], types: Mapping[str, type], where: str) -> None:
    for key, wanted in types.items():
        if section.get(key) is not None:
            _check(section[key], wanted, f"{where}: {key}")


def _check_items(section: Mapping[str, Any], key: str, wanted: type, where: str) -> None:
    for number, item in enumerate(section.get(key) or ()):
        _check(item, wanted, f"{where}: {key}[{number}]")


def _check(value: object, wanted: type, where: str) -> None:
    if isinstance(value, wanted):
        return
    found = _NAMES.get(type(value), "a date")
    quotes = "; put it in quotes" if wanted is str and not isinstance(value, list | dict) else ""
    raise ConfigurationError(f"{where} must be {_NAMES[wanted]}, not {found}{quotes}")
