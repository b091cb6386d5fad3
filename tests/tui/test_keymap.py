import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.app import App
from textual.binding import Binding

from tui.keymap import check_keymap, key_problem

BINDINGS = [
    Binding("c", "copy", id="copy"),
    Binding("C", "choose", id="choose"),
    Binding("j,down", "down", id="table.down"),
    Binding("j", "down", id="evidence.down"),
    Binding("question_mark", "help", id="help"),
    Binding("ctrl+q", "quit"),
]


def test_no_remapping_and_a_good_one_are_fine() -> None:
    assert check_keymap(BINDINGS, {}) == []
    assert check_keymap(BINDINGS, {"copy": "y", "table.down": "n,ctrl+n", "help": "f1"}) == []


@pytest.mark.parametrize(
    ("remap", "said"),
    [
        ({"copi": "y"}, "keys.copi: there is no such binding; did you mean 'copy'?"),
        ({"zzzz": "y"}, "keys.zzzz: there is no such binding"),
        ({"copy": ""}, "keys.copy: no key; a binding cannot be taken away"),
        ({"copy": " "}, "keys.copy: no key; a binding cannot be taken away"),
        ({"copy": "y,,x"}, "keys.copy: an empty key"),
        ({"copy": "esc"}, "keys.copy: 'esc' is not a key; did you mean 'escape'?"),
        ({"copy": "pagedwn"}, "keys.copy: 'pagedwn' is not a key; did you mean 'pagedown'?"),
        ({"copy": "control+y"}, "keys.copy: 'control+y': unknown modifier 'control'; did you mean 'ctrl'?"),
        ({"copy": "C"}, "keys: copy and choose are both on 'C'"),
        ({"copy": "ctrl+q"}, "keys: copy and a fixed binding are both on 'ctrl+q'"),
        ({"copy": "?"}, "keys: help and copy are both on 'question_mark'"),
        ({"copy": "enter", "help": "ctrl+m"}, "keys: help and copy are both on 'enter'"),
    ],
)
def test_each_mistake_is_told(remap: dict[str, str], said: str) -> None:
    assert check_keymap(BINDINGS, remap) == [said]


def test_a_key_that_moved_away_is_free() -> None:
    assert check_keymap(BINDINGS, {"copy": "y", "choose": "c"}) == []
    assert check_keymap(BINDINGS, {"copy": "C", "choose": "c"}) == []


def test_bindings_that_share_a_key_by_default_may_go_on_sharing() -> None:
    assert check_keymap(BINDINGS, {"table.down": "n", "evidence.down": "n"}) == []
    assert check_keymap(BINDINGS, {"table.down": "c"}) == ["keys: table.down and copy are both on 'c'"]


def test_several_mistakes_are_all_told() -> None:
    remap = {"copi": "y", "copy": "esc", "help": "f1"}
    assert len(check_keymap(BINDINGS, remap)) == 2


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "A",
        "1",
        "?",
        "+",
        "/",
        "é",
        "comma",
        "slash",
        "question_mark",
        "plus",
        "minus",
        "full_stop",
        "space",
        "tab",
    ],
)
def test_characters_and_their_names_are_keys(key: str) -> None:
    assert key_problem(key) == ""


@pytest.mark.parametrize(
    "key", ["shift+tab", "enter", "escape", "f1", "f12", "ctrl+a", "ctrl+shift+left", "alt+x", "pageup", "ctrl+slash"]
)
def test_keys_with_names_are_keys(key: str) -> None:
    assert key_problem(key) == ""


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("solidus", "'slash'"),
        ("ctrl+A", "'ctrl+a'"),
        ("ctrl+/", "'ctrl+slash'"),
        ("shift+ctrl+left", "'ctrl+shift+left'"),
        ("shift+a", "name the character"),
        ("shift+1", "name the character"),
        ("return", "'enter'"),
        ("pgup", "'pageup'"),
        ("f99", "is not a key"),
        ("ctrl+", "is not a key"),
        ("<any>", "is not a key"),
        ("\x1b", "is not a key"),
        ("jj", "is not a key"),
    ],
)
def test_keys_that_never_arrive(key: str, hint: str) -> None:
    assert hint in key_problem(key)


class Pressed(App[None]):
    BINDINGS = [Binding("f12", "note", id="note")]

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.noted = 0

    def on_mount(self) -> None:
        self.set_keymap({"note": self.key})

    def action_note(self) -> None:
        self.noted += 1


@pytest.mark.parametrize("key", ["?", "y", "+", "comma", "slash", "ctrl+n", "A"])
async def test_what_we_call_a_key_really_fires(key: str) -> None:
    assert key_problem(key) == ""
    app = Pressed(key)
    async with app.run_test() as pilot:
        await pilot.press(key)
        assert app.noted == 1


@given(st.characters(categories=["L", "N", "P", "S"]))
def test_every_visible_character_is_a_key_and_named_as_textual_names_it(character: str) -> None:
    assert key_problem(character) == ""
    assert events.Key(character, character).is_printable


@given(st.text(max_size=12))
def test_nothing_a_person_writes_breaks_the_check(keys: str) -> None:
    check_keymap(BINDINGS, {"copy": keys})
