"""Commands as text to paste: quoted, with the context, or refused."""

import re
import shlex
from typing import Final

import msgspec

from situation.findings import Command
from situation.text import harmless, is_altered

_PLACEHOLDER: Final = re.compile(r"<[A-Za-z][A-Za-z0-9 _-]*>")

_FLAGS: Final = frozenset(
    "-A -L -c -f -i -l -n -o -p -t -w --all-containers --all-namespaces --as --containers --context --field-selector "
    "--for --kubeconfig --namespace --overwrite --previous --raw --replicas --selector --show-labels --since --sort-by "
    "--tail --template --timestamps --types --list --image --profile --ignore-daemonsets --delete-emptydir-data "
    "--minify --overwrite -it".split()
)
"""Flags that commands may hold. A name from the cluster that reads as another would change what kubectl does."""

_ETCDCTL_FLAGS: Final = frozenset("--cacert --cert --cluster --endpoints --key -w".split())
"""Flags of the program that `kubectl exec POD --` runs; etcdctl is the only one."""


class Target(msgspec.Struct, frozen=True):
    """Which cluster the pasted command must reach."""

    context: str = ""
    """Name of the kubeconfig context; empty (in-cluster, dump) leaves the option out."""
    kubeconfig: str = ""
    """Path given on our command line; empty when the shell's own default is right."""
    limited_to: str = ""
    """The only namespace that is read, empty for all. Told to people; commands name their own namespace."""


class CommandRefusedError(ValueError):
    """A command that must not be offered; the message says why."""


def render(command: Command, target: Target, flags: frozenset[str] = frozenset()) -> str:
    """Return the command line for a POSIX shell. `flags`: options of a template, which hold no name from the cluster.

    Raises CommandRefusedError when an argument holds control or invisible characters (so it is not the real name),
    would be read as an option, or is an unfilled placeholder such as `<pod>`.
    """
    if not command.argv:
        raise CommandRefusedError("an empty command")
    for argument in (*command.argv, command.namespace, target.context, target.kubeconfig):
        _check(argument)
    argv = list(command.argv)
    if argv[0] == "kubectl":
        end = argv.index("--") if argv[1:2] == ["exec"] and "--" in argv else len(argv)
        _check_flags(argv[1:end], _FLAGS | flags)
        _check_flags(argv[end + 1 :], _ETCDCTL_FLAGS | flags)
        argv[1:1] = _options(command, target)
    return shlex.join(argv)


def _check_flags(arguments: list[str], known: frozenset[str]) -> None:
    for argument in arguments:
        if argument.startswith("-") and argument.partition("=")[0] not in known:
            raise CommandRefusedError(f"a name that would be read as an option: {argument}")


def _options(command: Command, target: Target) -> list[str]:
    options: list[str] = []
    if target.kubeconfig:
        options += ["--kubeconfig", target.kubeconfig]
    if target.context:
        options += ["--context", target.context]
    if command.namespace:
        options += ["-n", command.namespace]
    return options


def _check(argument: str) -> None:
    if harmless(argument) != argument or is_altered(argument):
        raise CommandRefusedError(f"a name holds control or invisible characters: {harmless(argument)}")
    if (unfilled := _PLACEHOLDER.search(argument)) is not None:
        raise CommandRefusedError(f"{unfilled[0]} is not known yet")


def offered(commands: tuple[Command, ...], target: Target) -> tuple[tuple[Command, str], ...]:
    """Return the commands that can be offered, each with its rendered line; refused ones are left out."""
    lines = []
    for command in commands:
        try:
            lines.append((command, render(command, target)))
        except CommandRefusedError:
            continue
    return tuple(lines)
