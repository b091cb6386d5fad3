import pytest

from situation.findings import Layer, LayerState, LayerStatus, Severity
from tests.widgets.test_causes import finding
from tui.other_cards import family_card, layer_card
from widgets.families import FamilyKey, fold_families

KEY = FamilyKey("crash-loop", Severity.CRITICAL)


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (LayerState.OK, "", "✓ Layer 3, network: nothing wrong found"),
        (LayerState.OK, "leases: forbidden", "◐ Layer 3, network: nothing wrong found, judged only partly"),
        (LayerState.UNKNOWN, "services: forbidden", "? Layer 3, network: could not tell"),
    ],
)
def test_a_layer_without_a_cause_says_whether_it_is_fine_and_what_is_not_known(
    status: LayerState, reason: str, said: str
) -> None:
    card = layer_card(LayerStatus(Layer.NETWORK, status, reason))
    assert f"{card.glyph} {card.title}" == said
    assert [line.text for line in card.lines] == ([reason] if reason else [])
    assert card.commands == ()


def test_the_line_of_a_family_lists_its_causes_and_has_no_command_of_its_own() -> None:
    (family,) = fold_families([finding(f"app-{n}") for n in range(6)]).families
    card = family_card(KEY, family)
    assert [line.text for line in card.lines] == [f"app-{n} is broken" for n in (3, 4, 5)]
    assert card.commands == ()
    (family,) = fold_families([finding(f"app-{n:02}") for n in range(60)]).families
    assert [line.text for line in family_card(KEY, family).lines][-2:] == ["app-10 is broken", "…"]
    assert family_card(KEY, None).title == "no more of crash-loop than those listed"
