"""Bad files are told with file and line; the others load."""

from pathlib import Path

import pytest

from playbooks.loading import load_playbooks

GOOD = """+++
id = "mine"
title = "Mine"
summary = "A playbook of my own."
when = ["crash-loop"]

[[step]]
id = "first"
ask = "Is etcd free of alarms?"
check = "etcd.alarms == none"
command = ["kubectl", "describe", "pod", "<pod>"]
namespace = "<namespace>"
goto = { no = { to = "second", say = "Look closer." } }

[[step]]
id = "second"
ask = "And then?"
+++
In general.

## second
Longer
notes.
"""
LOOP = 'goto = { yes = { to = "first", say = "x" }, no = { to = "first", say = "x" } }\n+++\nIn general.'


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text(GOOD)
    library = load_playbooks(tmp_path)
    mine = library.get("mine")
    assert library.problems == ()
    assert mine is not None
    assert mine.is_own
    assert mine.notes == "In general."
    assert [step.notes for step in mine.steps] == ["", "Longer\nnotes."]
    assert mine.steps[0].ways[0].to == ("mine", "second")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("+++\nid", "++\nid", 1, "the first line must be +++"),
        ("+++\nIn general", "In general", 1, "does not end"),
        ('title = "Mine"', 'title = "Mine', 3, "front matter"),
        ('title = "Mine"\n', "", 1, "missing required field `title`"),
        ('when = ["crash-loop"]', "order = true", 5, "order: Expected `int`"),
        ('when = ["crash-loop"]', "layer = 6", 5, "layer"),
        ('when = ["crash-loop"]', 'colour = "red"', 5, "unknown field `colour`"),
        ('ask = "And then?"', 'ask = "And then?"\nlok_for = "x"', 18, "step 2: Object contains unknown field"),
        ('ask = "And then?"\n', "", 15, "step 2: Object missing required field `ask`"),
        ('id = "second"', 'id = "first"', 16, "there are two steps 'first'"),
        ("## second", "## third", 21, "the heading 'third' is no step's id"),
        ("Longer", "## second", 22, "two headings 'second'"),
        ("etcd.alarms == none", "etcd.alrms == none", 10, "do you mean 'etcd.alarms'?"),
        ("etcd.alarms == none", "etcd.alarms ==", 10, "check: etcd.alarms is compared with"),
        ("<pod>", "<pood>", 11, "<pood> is no placeholder"),
        ('namespace = "<namespace>"\n', "", 11, "namespace"),
        ('"describe", "pod", "<pod>"', '"x", "<etcdctl>x"', 11, "must be a word of its own"),
        ('["kubectl", "describe", "pod", "<pod>"]', '["sh", "-c", "kill <pod>"]', 11, "inside a shell's script"),
        ('namespace = "<namespace>"', 'namespace = "<namespace>"\neffect = "mutating"', 13, "must only read"),
        ('namespace = "<namespace>"', 'namespace = "<namespace>"\neffect = "bad"', 13, "effect"),
        ('to = "second"', 'to = "nowhere"', 13, "there is no step 'nowhere'"),
        ('to = "second"', 'to = "playbook:nowhere"', 13, "there is no playbook 'nowhere'"),
        ('to = "second"', 'to = "playbook:etcd-health#nowhere"', 13, "there is no step 'nowhere'"),
        ('to = "second"', 'to = "Not a step"', 13, "is no step"),
        ("+++\nIn general.", LOOP, 13, "first -> second -> first"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    text = GOOD.replace(old, new, 1)
    if new is LOOP:
        text = text.replace('say = "Look closer." } }', 'say = "x" }, yes = { to = "second", say = "y" } }')
    assert text != GOOD
    (tmp_path / "bad.md").write_text(text)
    (tmp_path / "good.md").write_text(GOOD.replace('"mine"', '"other"'))
    library = load_playbooks(tmp_path)
    assert library.get("other") is not None
    assert library.get("mine") is None
    (problem,) = library.problems
    assert problem.startswith(f"{tmp_path / 'bad.md'}:")
    assert says in problem
    told = int(problem.removeprefix(f"{tmp_path / 'bad.md'}:").partition(":")[0])
    assert told == line


def test_files_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b'+++\nid = "\xff"\n+++\n')
    (tmp_path / "b.md").write_bytes(b"x" * 300_000)
    (tmp_path / "c.md").mkdir()
    problems = load_playbooks(tmp_path).problems
    assert [problem.partition(str(tmp_path))[2][:7] for problem in problems] == ["/a.md:2", "/b.md:1", "/c.md:1"]


def test_one_of_the_users_replaces_a_shipped_one_and_two_with_one_id_do_not(tmp_path: Path) -> None:
    own = GOOD.replace('"mine"', '"istio-inference"')
    (tmp_path / "a.md").write_text(own)
    (tmp_path / "b.md").write_text(own)
    library = load_playbooks(tmp_path)
    found = library.get("istio-inference")
    assert found is not None
    assert found.title == "Mine"
    assert library.replaced == ("istio-inference",)
    assert [problem.partition(": ")[0] for problem in library.problems] == [f"{tmp_path / 'b.md'}:2"]


def test_a_replacement_without_a_step_that_others_lead_to_is_at_fault(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text(GOOD.replace('"mine"', '"five-layers"'))
    library = load_playbooks(tmp_path)
    found = library.get("five-layers")
    assert found is not None
    assert not found.is_own
    assert library.replaced == ()
    assert library.problems[0].startswith(f"{tmp_path / 'mine.md'}:")
    assert "there is no step" in library.problems[0]


def test_control_characters_of_a_file_are_made_visible(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text(GOOD.replace("In general.", "In \x1b[2J general."))
    found = load_playbooks(tmp_path).get("mine")
    assert found is not None
    assert "\x1b" not in found.notes
