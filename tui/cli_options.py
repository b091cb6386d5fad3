"""Options that several commands share, and their types. Imports nothing heavy: `--help` must answer at once."""

import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from tui.etcd_options import EtcdArguments
from tui.reach import Reach

Command = Callable[..., Any] | click.Command


class FilePath(click.Path):
    """A path that may or may not exist: who opens it says what is wrong with it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)


class Number(click.FloatRange):
    """A number within bounds; "nan" is within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which `--help` lists them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


config_option = click.option("--config", type=FilePath(), help="Configuration file; see `midwatch config`.")
theme_option = click.option("--theme", help="Colour theme; see `midwatch themes`.")
_reach = options(
    click.option(
        "--kubeconfig", type=FilePath(), help="Kubeconfig file; else $KUBECONFIG, ~/.kube/config, in-cluster."
    ),
    click.option("--context", help="Kubeconfig context; else the current one."),
    click.option("--namespace", "-n", help="Read this namespace only, for users without cluster-wide rights."),
    click.option(
        "--local", is_flag=True, help="This is a control-plane node: read what it knows itself, kubeconfig or not."
    ),
    click.option("--dcgm", multiple=True, metavar="URL", help="Ask this DCGM exporter too; may be given again."),
    click.option("--vllm", multiple=True, metavar="URL", help="Ask this model server too; may be given again."),
    click.option(
        "--prometheus",
        metavar="URL",
        help="Ask this Prometheus for what DCGM exporters, model servers and the scheduler told it.",
    ),
    click.option(
        "--etcd-endpoints", multiple=True, metavar="URL,...", help="Client URLs of etcd's members; may be given again."
    ),
    click.option("--etcd-cacert", type=FilePath(), help="CA that signed the certificates of etcd's members."),
    click.option("--etcd-cert", type=FilePath(), help="Client certificate for etcd; needs --etcd-key too."),
    click.option("--etcd-key", type=FilePath(), help="Key of the client certificate."),
    click.option(
        "--etcd-metrics", multiple=True, metavar="URL,...", help="Where etcd's members serve metrics apart (:2381)."
    ),
    config_option,
)


def reach_options(command: Callable[..., Any]) -> Command:
    """Add all options that say where the cluster is and how it is reached; the command gets them as one `reach`."""

    @wraps(command)
    def gathered(*arguments: Any, **given: Any) -> Any:
        etcd = EtcdArguments(**{field: given.pop(f"etcd_{field}") for field in EtcdArguments._fields})
        reach = Reach(etcd=etcd, **{field: given.pop(field) for field in Reach._fields if field != "etcd"})
        return command(*arguments, reach=reach, **given)

    return _reach(gathered)
