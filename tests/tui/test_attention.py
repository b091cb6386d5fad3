import pytest

from diagnosis.engine import diagnose
from situation.findings import Diagnosis, Layer
from situation.focus import EVERYTHING, Focus
from situation.meta import Ref
from tests.build import NOW, pod, situation
from tui.attention import Attention
from tui.view import Filter

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
SEARCH = Ref("Pod", "shop", "search-1")
WELL = Ref("Pod", "shop", "web-1")


@pytest.fixture
def diagnosis() -> Diagnosis:
    broken = pod("search-1", owner="StatefulSet/search", phase="Pending", ready=False, container_status={"state": PULL})
    return diagnose(situation(broken, pod("web-1")), NOW)


def test_steps_are_taken_back_one_by_one_with_what_was_selected(diagnosis: Diagnosis) -> None:
    attention = Attention()
    attention.selection = "first"
    attention.focus_on(Focus(cause="a"), "a")
    attention.focus_on(Focus(ref=WELL), WELL)
    assert attention.go_back()
    assert (attention.focus, attention.selection) == (Focus(cause="a"), "a")
    assert attention.go_back()
    assert (attention.focus, attention.selection) == (EVERYTHING, "first")
    assert not attention.go_back()


def test_the_same_focus_again_is_no_step(diagnosis: Diagnosis) -> None:
    attention = Attention()
    attention.focus_on(Focus(ref=WELL), WELL)
    attention.focus_on(Focus(ref=WELL), WELL)
    assert attention.go_back()
    assert attention.focus.is_cluster
    assert not attention.go_back()


def test_an_object_that_a_finding_is_about_shows_the_finding_and_another_itself(diagnosis: Diagnosis) -> None:
    attention = Attention()
    (cause,) = diagnosis.causes
    attention.focus_on_object(SEARCH, diagnosis)
    assert (attention.focus, attention.selection) == (Focus(ref=SEARCH), cause.key)
    assert attention.finding(diagnosis) == cause
    attention.focus_on_object(WELL, diagnosis)
    assert (attention.focus, attention.selection) == (Focus(ref=WELL), WELL)
    assert attention.finding(diagnosis) is None


def test_a_layer_selects_its_first_cause_if_it_has_one(diagnosis: Diagnosis) -> None:
    attention = Attention()
    assert attention.focus_on_layer(Layer.APPLICATION, diagnosis) == diagnosis.causes[0]
    assert attention.text == "layer 1"
    assert attention.focus_on_layer(Layer.NETWORK, diagnosis) is None
    assert attention.selection is None
    assert attention.finding(diagnosis) is None  # the gravest of another layer is not what was asked for


def test_a_finding_that_was_never_seen_gives_way_to_the_first(diagnosis: Diagnosis) -> None:
    attention = Attention()
    attention.selection = "gone:Pod/shop/x"
    assert attention.finding(diagnosis) == diagnosis.causes[0]
    assert attention.finding(Diagnosis()) is None
    assert attention.pod(Diagnosis()) is None


def test_placeholders_are_filled_from_the_selected_pod_else_from_the_findings_first(diagnosis: Diagnosis) -> None:
    attention = Attention()
    assert attention.pod(diagnosis) == SEARCH
    attention.selection = WELL
    assert attention.pod(diagnosis) == WELL
    attention.selection = Ref("Node", "", "n1")
    assert attention.pod(diagnosis) is None


@pytest.mark.parametrize(
    ("focus", "follows"),
    [
        (EVERYTHING, True),
        (Focus(layer=Layer.APPLICATION), True),
        (Focus(ref=SEARCH), False),
        (Focus(cause="image-pull:StatefulSet/shop/search"), False),
    ],
)
def test_whoever_filters_for_a_name_means_that_one_also_within_a_layer(focus: Focus, follows: bool) -> None:
    names, status = ("payments", "search"), {"state": PULL}
    diagnosis = diagnose(
        situation(
            *(
                pod(f"{name}-1", owner=f"StatefulSet/{name}", phase="Pending", ready=False, container_status=status)
                for name in names
            )
        ),
        NOW,
    )
    keys = {name: f"image-pull:StatefulSet/shop/{name}" for name in names}
    attention = Attention()
    attention.focus_on(focus, keys["search"])
    attention.filter_by(Filter(("payments",)), diagnosis)
    assert attention.selection == keys["payments" if follows else "search"]


def test_reset_forgets_focus_selection_filter_and_the_way_back(diagnosis: Diagnosis) -> None:
    attention = Attention()
    attention.focus_on(Focus(ref=WELL), WELL)
    attention.wanted = Filter(("web",))
    attention.reset()
    assert (attention.focus, attention.selection, attention.wanted) == (EVERYTHING, None, Filter())
    assert not attention.go_back()


@pytest.mark.parametrize(
    ("focus", "text"),
    [
        (EVERYTHING, ""),
        (Focus(layer=Layer.NODE), "layer 5"),
        (Focus(cause="x"), "related to the cause"),
        (Focus(ref=Ref("Node", "", "n1")), "Node n1"),
    ],
)
def test_the_focus_in_words(focus: Focus, text: str) -> None:
    attention = Attention()
    attention.focus = focus
    assert attention.text == text
