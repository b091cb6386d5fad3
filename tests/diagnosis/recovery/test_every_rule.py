"""No rule without its recovery: whoever adds one shows in this folder's tables how it is withdrawn."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from diagnosis.catalogue import ALL
from tests.diagnosis.recovery.harness import Case

EXEMPT: Final[dict[str, str]] = {}
"""Rules that nothing puts an end to, with the reason."""
HERE: Final = Path(__file__).parent


def cases() -> Iterator[Case]:
    for path in sorted(HERE.glob("test_*.py")):
        yield from getattr(import_module(f"{__package__}.{path.stem}"), "CASES", ())


def test_every_rule_has_its_recovery() -> None:
    shown = {case.rule for case in cases()}
    assert shown <= {rule.id for rule in ALL}
    assert [rule.id for rule in ALL if rule.id not in shown and rule.id not in EXEMPT] == []
    assert not shown & EXEMPT.keys()


def test_each_table_is_run() -> None:
    """A table that no test goes through would show nothing."""
    for path in HERE.glob("test_*.py"):
        text = path.read_text()
        assert "CASES: Final" not in text or 'parametrize("case", CASES' in text, path.name
