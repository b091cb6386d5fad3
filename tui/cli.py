"""The command line. Everything heavy is imported inside the command that needs it: `--help` must answer at once."""

import signal
import sys
from pathlib import Path
from typing import Final

import click

from situation.text import harmless
from situation.version import VERSION
from tui.cli_options import FilePath, Number, config_option, reach_options, theme_option
from tui.exits import EXIT_INTERRUPTED, EXIT_UNKNOWN, EXIT_USAGE, UsageProblem
from tui.incident_cli import export, incidents
from tui.output import make_printable, open_streams, write_lines
from tui.reach import Reach

_EPILOG: Final = "Midwatch only reads. It never changes the cluster and never runs a command: it copies it."


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        write_lines([f"midwatch {VERSION}"])
        context.exit()


@click.group(
    "midwatch",
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@reach_options
@theme_option
@click.option("--kiosk", is_flag=True, help="For a screen without a keyboard; leave with ctrl+q.")
@click.option("--as", "who", metavar="NAME", help="Who writes the incident log; else the login name.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[ID]",
    help="Go on with an incident's log; without ID with the last of this context that was left open.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def app(
    context_: click.Context,
    reach: Reach,
    theme: str | None,
    kiosk: bool,
    who: str | None,
    resume: str | None,
) -> int:
    """The terminal cockpit for live incident response on Kubernetes clusters that serve models on GPUs.

    Without a command: open the cockpit on the current context.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if context_.invoked_subcommand is not None:
        _hand_down(context_, context_.invoked_subcommand)
        return 0
    from tui.start import CockpitOptions, open_cockpit

    return open_cockpit(CockpitOptions(reach, theme, kiosk, who=who, resume=resume))


def _hand_down(context: click.Context, name: str) -> None:
    """Let options count that stand before a command, as in `midwatch --context prod check`.

    Raises UsageProblem for those that the command does not have.
    """
    given = {
        option: value
        for option, value in context.params.items()
        if context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE
    }
    known = {parameter.name for parameter in app.commands[name].params}
    for option in given:
        if option not in known:
            flag = next(parameter.opts[0] for parameter in app.params if parameter.name == option)
            raise UsageProblem(f"{flag} is no option of `midwatch {name}`")
    context.default_map = {name: given}


@app.command()
@click.option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Shape of the report.",
)
@click.option(
    "--dump",
    type=FilePath(),
    help="Judge files: `kubectl get ... -A -o json` or YAML, a folder, a tape; `-` reads a pipe.",
)
@click.option("--at", help="With --dump: the time that counts as now (RFC 3339); else its newest.")
@click.option(
    "--timeout",
    type=Number(1.0, 3600.0),
    default=20.0,
    show_default=True,
    help="Seconds to wait for the cluster.",
)
@reach_options
def check(reach: Reach, output: str, dump: Path | None, at: str | None, timeout: float) -> int:
    """Collect, judge, print, exit: 0 nothing wrong, 1 warnings, 2 critical, 3 could not tell."""
    from tui.check import CheckOptions, run_check

    return run_check(CheckOptions(reach, output == "json", dump, at, timeout))


@app.command()
@click.argument("scenario", default="gpu_driver_nouveau")
@click.option("--list", "list_", is_flag=True, help="Name the incidents and exit.")
@click.option("--speed", type=Number(0.1, 100), default=1.0, help="How fast the incident plays.")
@click.option("--drill", is_flag=True, help="Hide the diagnosis; D asks you for it, and scores.")
@theme_option
def demo(scenario: str, list_: bool, speed: float, drill: bool, theme: str | None) -> int:
    """Open the cockpit on a simulated incident on loopback; needs nothing installed."""
    from tui.demo import list_scenarios, open_demo

    if list_:
        write_lines(list_scenarios())
        return 0
    return open_demo(scenario, speed, theme, drill=drill)


@app.command()
@click.argument("file", type=FilePath())
@click.option("--for", "lasts", metavar="TIME", help="Stop after so long: 90s, 10m, 2h; else at ctrl+c.")
@reach_options
def record(reach: Reach, file: Path, lasts: str | None) -> int:
    """Write what the cluster says to a tape, without a screen; `midwatch replay` plays it.

    The file is readable by you only, and nothing is overwritten.
    """
    from tui.record import run_record

    return run_record(reach, file, lasts)


@app.command()
@click.argument("file", type=FilePath())
@click.option("--speed", type=Number(0.1, 100), default=1.0, help="How fast it plays.")
@click.option("--check", "at", metavar="TIME", help="Print what `check` would have said then; no screen.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", help="Of --check.")
@theme_option
def replay(file: Path, speed: float, at: str | None, output: str, theme: str | None) -> int:
    """Play a tape in the cockpit: p pauses, . and , step, < and > change the speed, [ and ] go to where causes change.

    TIME is that of a day (02:41:07, UTC), a moment (2026-11-23T02:41:07Z), or +MM:SS from the tape's start.
    """
    from tui.record import check_tape, open_replay

    if at is not None:
        return check_tape(file, at, as_json=output == "json")
    return open_replay(file, speed, theme)


@app.command()
@click.argument("rule", required=False)
@click.option("--list", "list_", is_flag=True, help="List all rules and log signatures.")
@click.option("--log", type=FilePath(), help="Say which known faults a log tells; `-` reads a pipe.")
def explain(rule: str | None, list_: bool, log: Path | None) -> int:
    """Print what a rule looks at, its look-alikes and how it tells them apart; or what a log tells.

    RULE is an id, for example crash-loop, or a row such as L1-02; or that of a log signature, for example secure-boot
    or gpu-05. With --log the exit code is 0 if the log tells a known fault, 1 if not.
    """
    if log is not None:
        from tui.explain_log import explain_log

        if rule is not None or list_:
            raise UsageProblem("--log explains a log: leave RULE and --list out")
        lines, code = explain_log(str(log))
        write_lines(lines)
        return code
    from tui.explain import explain_rule, list_rules

    write_lines(list_rules() if list_ or rule is None else explain_rule(rule))
    return 0


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
@reach_options
def doctor(reach: Reach) -> int:
    """Say what works from here: kubeconfig, credentials, rights by resource, GPUs, etcd, terminal and clipboard.

    ✓ works; ● does not, or not as well as it could, and the rest goes on without it; ✗ is needed and does not work. The
    exit code is 0 without a ✗, 3 with one.
    """
    from tui.doctor import run_doctor

    return run_doctor(reach)


@app.command()
@config_option
def themes(config: Path | None) -> None:
    """List the colour themes, shipped and your own."""
    from tui.settings import theme_lines

    write_lines(theme_lines(config))


@app.command()
@click.argument("playbook", required=False)
def playbooks(playbook: str | None) -> int:
    """List the playbooks, shipped and your own; or print one with its steps and commands."""
    from tui.playbook_text import list_playbooks, print_playbook

    write_lines(list_playbooks() if playbook is None else print_playbook(playbook))
    return 0


@app.command()
def config() -> None:
    """Print a commented configuration file and where it belongs."""
    from tui.settings import config_lines

    write_lines(config_lines())


app.add_command(incidents)
app.add_command(export)


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
    except Exception as error:  # noqa: BLE001  the boundary of the program: Python would exit with 1, "warnings" here
        code = _internal_error(error)
    sys.exit(code)


def _internal_error(error: Exception) -> int:
    """Say in one line what nobody foresaw, with the traceback in the log, or below where no log can be written."""
    import logging
    import traceback

    from tui.logs import log_to_file
    from tui.paths import state_dir

    file = log_to_file(state_dir())
    logging.getLogger(__name__).error("internal error", exc_info=error)
    said = harmless(f"{type(error).__name__}: {error}")
    nowhere = f"no log can be written in {state_dir()}, so here is the traceback"
    where = f"the traceback is in {file}" if file else nowhere
    print(f"midwatch: internal error: {said}; {harmless(where)}", file=sys.stderr)
    if file is None:
        print(*map(harmless, "".join(traceback.format_exception(error)).splitlines()), sep="\n", file=sys.stderr)
    return EXIT_UNKNOWN


def _run() -> int:
    try:
        open_streams()
        # Not `app.main`: it would answer an interrupt with an empty line.
        with app.make_context("midwatch", sys.argv[1:]) as context:
            return int(app.invoke(context) or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except UsageProblem as problem:
        print(f"midwatch: {harmless(str(problem))}", file=sys.stderr)
    except click.ClickException as error:
        message = error.format_message().rstrip(".")
        print(f"midwatch: {harmless(message[:1].lower() + message[1:])}; see `midwatch --help`", file=sys.stderr)
    except click.Abort:
        return EXIT_INTERRUPTED
    return EXIT_USAGE
