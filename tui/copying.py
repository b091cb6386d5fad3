"""The wishes to copy a command, and why there is none to copy."""

from textual.message import Message

from tui.attention import Attention
from widgets.evidence import CardCommand
from widgets.families import FamilyKey


class CopyCommand(Message):
    """Copy this command."""

    def __init__(self, command: CardCommand) -> None:
        self.command = command
        super().__init__()


class ChooseCommand(Message):
    """Let the user choose among these commands."""

    def __init__(self, commands: tuple[CardCommand, ...]) -> None:
        self.commands = commands
        super().__init__()


def why_no_command(attention: Attention, *, is_shown: bool) -> str:
    """Say why nothing can be copied; `is_shown` tells whether the evidence pane is on the screen."""
    if not is_shown:
        return "No command is shown here: enter on a row shows its evidence and the next command."
    if attention.withdrawn is not None:
        return "This was withdrawn, so nothing is copied for it: go on to what is proven now."
    if isinstance(attention.selection, FamilyKey):
        return "This line stands for several causes: enter lists them, each has its own command."
    return "There is no command for this yet."
