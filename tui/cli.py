"""The command line. Everything heavy is imported inside the command that needs it: `--help` must answer at once."""

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from situation.text import harmless
from tui.exits import EXIT_INTERRUPTED, EXIT_USAGE, UsageProblem
from tui.output import make_printable, write_lines

app = typer.Typer(
    name="midwatch",
    help="The terminal cockpit for live incident response on Kubernetes clusters that serve models on GPUs.",
    epilog="Midwatch only reads. It never changes the cluster and never runs a command: it copies it.",
    no_args_is_help=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig file; else $KUBECONFIG, ~/.kube/config, in-cluster.")
]
Context = Annotated[str | None, typer.Option("--context", help="Kubeconfig context; else the current one.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Read this namespace only, for users without cluster-wide rights."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Configuration file; see `midwatch config`.")]


def _version(wanted: bool) -> None:
    if wanted:
        write_lines([f"midwatch {program_version()}"])
        raise typer.Exit


def program_version() -> str:
    """Version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("midwatch")
    except PackageNotFoundError:
        return "0"


@app.callback(invoke_without_command=True)
def cockpit(
    context_: typer.Context,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    theme: Annotated[str | None, typer.Option("--theme", help="Colour theme; see `midwatch themes`.")] = None,
    kiosk: Annotated[bool, typer.Option("--kiosk", help="For a screen without a keyboard; leave with ctrl+q.")] = False,
    config: ConfigFile = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Open the cockpit on the current context."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if context_.invoked_subcommand is not None:
        return
    from tui.start import CockpitOptions, open_cockpit

    options = CockpitOptions(kubeconfig, context, namespace, theme, kiosk, config)
    raise typer.Exit(open_cockpit(options))


@app.command()
def check(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="Shape of the report.")] = Output.TEXT,
    dump: Annotated[
        Path | None,
        typer.Option(
            "--dump", help="Judge files: `kubectl get ... -A -o json` or YAML, a folder, a tape; `-` reads a pipe."
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="With --dump: the time that counts as now (RFC 3339); else its newest.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1.0, max=3600.0, help="Seconds to wait for the cluster.")
    ] = 20.0,
    config: ConfigFile = None,
) -> None:
    """Collect, judge, print, exit: 0 nothing wrong, 1 warnings, 2 critical, 3 could not tell."""
    from tui.check import CheckOptions, run_check

    options = CheckOptions(kubeconfig, context, namespace, output is Output.JSON, dump, at, timeout, config)
    raise typer.Exit(run_check(options))


@app.command()
def demo(
    scenario: Annotated[str, typer.Argument(help="Name of the incident; see --list.")] = "gpu_driver_nouveau",
    list_: Annotated[bool, typer.Option("--list", help="Name the incidents and exit.")] = False,
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=100, help="How fast the incident plays.")] = 1.0,
    theme: Annotated[str | None, typer.Option("--theme", help="Colour theme.")] = None,
) -> None:
    """Open the cockpit on a simulated incident on loopback; needs nothing installed."""
    from tui.demo import list_scenarios, open_demo

    if list_:
        write_lines(list_scenarios())
        return
    raise typer.Exit(open_demo(scenario, speed, theme))


@app.command()
def explain(
    rule: Annotated[str | None, typer.Argument(help="Rule id, for example crash-loop, or a row such as L1-02.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List all rules.")] = False,
) -> None:
    """Print what a rule looks at, its look-alikes and how it tells them apart."""
    from tui.explain import explain_rule, list_rules

    write_lines(list_rules() if list_ or rule is None else explain_rule(rule))


@app.command()
def last() -> None:
    """Print the command that was copied last."""
    from tui.paths import state_dir

    path = state_dir() / "last-command"
    try:
        command = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageProblem(f"nothing was copied yet ({path} does not exist)") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot read it: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{path}: not a text that Midwatch wrote there; copy a command again") from error
    write_lines([command.rstrip("\n")])


@app.command()
def doctor(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    config: ConfigFile = None,
) -> None:
    """Say what works from here: kubeconfig, credentials, rights by resource, terminal and clipboard."""
    from tui.doctor import run_doctor

    raise typer.Exit(run_doctor(kubeconfig, context, namespace, config))


@app.command()
def themes(config: ConfigFile = None) -> None:
    """List the colour themes, shipped and your own."""
    from tui.settings import theme_lines

    write_lines(theme_lines(config))


@app.command()
def config() -> None:
    """Print a commented configuration file and where it belongs."""
    from tui.settings import config_lines

    write_lines(config_lines())


def main() -> None:
    """Run the command line; usage errors exit with 64, not with the usual 2, which means "critical" here."""
    make_printable()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # An interrupt in the middle of an import ends in a traceback; until a command runs there is nothing to tidy.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        code = _run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _run() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except UsageProblem as problem:
        print(f"midwatch: {harmless(str(problem))}", file=sys.stderr)
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        print(f"midwatch: {harmless(message[:1].lower() + message[1:])}; see `midwatch --help`", file=sys.stderr)
    except typer.Abort:
        return EXIT_INTERRUPTED
    return EXIT_USAGE
