"""The keys in force, and the line of them at the bottom."""

from collections.abc import Collection, Mapping
from typing import Any

from textual.screen import Screen
from textual.widgets import Footer


def shown_keys(screen: Screen[Any]) -> dict[str, str]:
    """Return the keys in force by the id of their binding, as they are shown; they may have been remapped."""
    shown: dict[str, str] = {}
    for _, binding, *_ in screen.active_bindings.values():
        if binding.id:
            shown.setdefault(binding.id, screen.app.get_key_display(binding))
    return shown


def named_keys(keys: Collection[tuple[str, str, str]], shown: Mapping[str, str]) -> str:
    """Return keys and what they do in one line.

    Each of `keys` has the ids of its bindings, the keys that they usually have, and what they do; `shown` has those
    that are known by the ids of their bindings.
    """
    named = ([shown[id] for id in ids.split() if id in shown] for ids, _, _ in keys)
    return " · ".join(f"{' '.join(known) or usual} {does}" for known, (_, usual, does) in zip(named, keys, strict=True))


class KeyHints(Footer):
    """A footer that is put together anew only when other keys are to be shown.

    The toolkit's own makes all its widgets anew, 30 ms of them, whenever the focus moves and three times at the start.
    """

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._shown: list[tuple[str, str, str, bool]] = []

    def bindings_changed(self, screen: Screen[Any]) -> None:
        if not (screen.app.app_focus and self.is_attached and screen is self.screen):
            super().bindings_changed(screen)
            return
        shown = [
            (self.app.get_key_display(binding), binding.description, binding.action, enabled)
            for _, binding, enabled, _ in screen.active_bindings.values()
            if binding.show
        ]
        if shown != self._shown:
            self._shown = shown
            super().bindings_changed(screen)
