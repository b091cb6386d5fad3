"""The commands on logs of incidents. Imports nothing heavy: `--help` must answer at once."""

from pathlib import Path
from typing import Final

import click

from tui.cli_options import FilePath
from tui.exits import UsageProblem
from tui.output import write_lines

_SHAPES: Final = ("md", "json")


@click.group(invoke_without_command=True)
@click.pass_context
def incidents(context: click.Context) -> int:
    """List the incidents whose log is kept on this machine, the newest first."""
    if context.invoked_subcommand is None:
        from tui.incident_commands import list_incidents

        write_lines(list_incidents())
    return 0


@incidents.command()
@click.argument("incident", metavar="ID")
def show(incident: str) -> None:
    """Print the timeline of an incident."""
    from tui.incident_commands import show_incident

    write_lines(show_incident(incident))


@incidents.command()
@click.argument("incident", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(incident: str, yes: bool) -> int:
    """Delete the log of an incident; asks before it does."""
    from tui.incident_commands import delete_incident

    return delete_incident(incident, yes=yes)


@click.command()
@click.argument("incident", metavar="ID")
@click.option(
    "-o",
    "--format",
    "shape",
    type=click.Choice(_SHAPES),
    default="md",
    show_default=True,
    help="Markdown, the draft of a post-mortem; or JSON.",
)
@click.option("--redact", is_flag=True, help="Replace names of clusters, namespaces, nodes, pods, images, people.")
@click.option(
    "--file", "--output", type=FilePath(), help="Write to this file, which must not exist; else to standard output."
)
def export(incident: str, shape: str, redact: bool, file: Path | None) -> None:
    """Write an incident as the draft of a post-mortem. ID is what `midwatch incidents` lists."""
    from tui.incident_commands import exported, write_file

    if str(file) in _SHAPES:  # of other commands --output is the shape
        raise UsageProblem(f"--output {file} would name a file: give --format {file}, or the whole path of the file")

    lines = exported(incident, as_data=shape == "json", redact=redact)
    if file is None:
        write_lines(lines)
    else:
        write_file(file, lines)
