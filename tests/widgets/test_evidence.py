import shlex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from situation.findings import Effect, Mark
from situation.text import harmless
from widgets.evidence import Card, CardBody, CardCommand, CardLine, card_content, next_content, wrap_command

arguments = st.lists(st.text(max_size=40).map(harmless), min_size=1, max_size=12)


@given(arguments, st.integers(1, 300))
def test_a_wrapped_command_pastes_as_the_same_command(argv: list[str], width: int) -> None:
    rows = wrap_command(shlex.join(argv), width)
    assert shlex.split("\n".join(rows).replace("\\\n", "")) == argv  # a shell drops them (POSIX 2.2.1), shlex does not
    assert all(row.endswith(" \\") for row in rows[:-1])


@given(arguments, st.integers(10, 120))
def test_only_an_argument_that_is_longer_than_the_line_leaves_it(argv: list[str], width: int) -> None:
    longest = max(cell_len(shlex.quote(argument)) for argument in argv)
    assert all(cell_len(row) <= max(width, longest + 6) for row in wrap_command(shlex.join(argv), width))


READ = CardCommand("why?", "kubectl logs web-1")
DELETE = CardCommand("start anew", "kubectl delete pod web-1", Effect.DISRUPTIVE, "node n1")
CARD = Card(
    "web crashes",
    "▲",
    "critical",
    "Deployment/shop/web",
    (CardLine("exit 1", "pods · now", Mark.SUPPORTS), CardLine("not OOMKilled", "", Mark.EXCLUDES), CardLine("seen")),
    ("12 pods wait",),
    (READ, DELETE),
    "follows from: n1 is gone",
)


def test_a_card_in_reading_order_with_the_origin_at_the_right_edge() -> None:
    assert card_content(CARD, 40).plain.splitlines() == [
        "▲ web crashes",
        "Deployment/shop/web",
        "follows from: n1 is gone",
        "✗ exit 1                      pods · now",
        "✓ not OOMKilled",
        "· seen",
        "↳ 12 pods wait",
        "also start anew (on node n1) INTERRUPTS SERVICE",
        "  kubectl delete pod web-1",
    ]


def test_the_next_command_stands_alone_and_names_its_key() -> None:
    assert next_content(CARD, 40).plain.splitlines() == ["next why?   c copies it", "  kubectl logs web-1"]
    assert not next_content(Card("x"), 40)


@pytest.mark.parametrize(("effect", "word"), [(Effect.MUTATING, "CHANGES"), (Effect.DISRUPTIVE, "INTERRUPTS")])
def test_a_command_that_is_not_harmless_says_so_in_words(effect: Effect, word: str) -> None:
    assert word in next_content(Card(commands=(CardCommand("x", "y", effect),)), 80).plain
    assert word not in next_content(Card(commands=(READ,)), 80).plain


@given(st.text(max_size=200).map(harmless), st.integers(40, 120))
def test_no_line_of_a_fact_is_wider_than_the_pane(text: str, width: int) -> None:
    card = Card(lines=(CardLine(f"x{text}", "pods · 20s"),), follows=(f"x{text}",))
    assert all(cell_len(line) <= width for line in card_content(card, width).plain.split("\n"))


def test_markup_is_text() -> None:
    assert "[red]x[/] [@click=app.quit]" in card_content(Card("[red]x[/] [@click=app.quit]"), 80).plain


@pytest.mark.parametrize("height", [3, 4, 6, 9, 30])
async def test_a_long_command_leaves_room_for_what_it_is_for(height: int) -> None:
    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield CardBody()

    app = Alone()
    async with app.run_test(size=(40, height)):
        body = app.query_one(CardBody)
        long = CardCommand("why?", "etcdctl " + "--an-option " * 20)
        body.show(msgspec.structs.replace(CARD, commands=(long,)), anew=True)
        shown = [str(strip.text).rstrip() for strip in body.render_lines(body.region.reset_offset)]
    text = "\n".join(shown)
    assert len(shown) == height
    assert "next why?" in text
    assert ("▲ web crashes" in text) is (height > 3)
    assert ("c copies it whole" in text) is (height < 30)
