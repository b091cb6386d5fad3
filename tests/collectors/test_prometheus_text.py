"""The Prometheus text format: what is read, what is left out, and what is no page at all."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors import prometheus_text
from collectors.errors import BadAnswerError
from collectors.prometheus_text import PAGE_LIMIT_BYTES, parse_page, read_sample
from situation.text import harmless
from tests.collectors.dcgm_pages import dcgm_page

WANTED = ("up", "up_total", "a:b")


def values(text: str) -> list[tuple[str, dict[str, str], float]]:
    return [(name, dict(labels), value) for name, labels, value in parse_page(text.encode(), WANTED, "it").samples]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("up 1\n", [("up", {}, 1.0)]),
        ("up{} 1\n", [("up", {}, 1.0)]),
        ("up 1 1700000000000\n", [("up", {}, 1.0)]),
        ("  up\t{a=\"x\"}\t2.5e3\n", [("up", {"a": "x"}, 2500.0)]),
        ('up{a="x",b="y",} 1\n', [("up", {"a": "x", "b": "y"}, 1.0)]),
        ('up{ a = "x" , b = "y" } 1\r\n', [("up", {"a": "x", "b": "y"}, 1.0)]),
        ('up_total{a="x"} 3 # {trace_id="}"} 0.5\n', [("up_total", {"a": "x"}, 3.0)]),
        ("a:b -1\n", [("a:b", {}, -1.0)]),
        ('up{a="x}y{,=#"} 1\n', [("up", {"a": "x}y{,=#"}, 1.0)]),
        ('up{a="q\\"q\\\\ b\\n"} 1\n', [("up", {"a": 'q"q\\ b␊'}, 1.0)]),
        ('up{a="\x1b[2J"} 1\n', [("up", {"a": "␛[2J"}, 1.0)]),
        ('up{a="x",a="y"} 1\n', [("up", {"a": "x"}, 1.0)]),
        ("up +Inf\n", [("up", {}, math.inf)]),
        ("up -Inf\n", [("up", {}, -math.inf)]),
        ("# HELP up up 1\n# TYPE up gauge\nup 1\n", [("up", {}, 1.0)]),
        ("upper 1\nup_bucket 2\nnot up 3\n", []),
        ("up 1\nup 2\n", [("up", {}, 1.0), ("up", {}, 2.0)]),
        ("up{a=\"\u00e9\"} 1\n", [("up", {"a": "é"}, 1.0)]),
    ],
)  # fmt: skip
def test_lines(text: str, expected: list[tuple[str, dict[str, str], float]]) -> None:
    assert values(text) == expected
    assert parse_page(text.encode(), WANTED, "it").broken == 0


@pytest.mark.parametrize(
    "line",
    [
        "up x",
        "up 1_000",
        "up 0x10",
        "up{a=x} 1",
        'up{a="x} 1',
        'up{a="x" b="y"} 1',
        "up{a} 1",
        "up{ 1",
        "up ",
        "up --1",
    ],
)
def test_a_broken_line_costs_only_itself(line: str) -> None:
    page = parse_page(f'{line}\nup{{a="y"}} 1\n'.encode(), WANTED, "it")
    assert [sample.labels for sample in page.samples] == [{"a": "y"}]
    assert page.broken == 1


def test_not_a_number_is_read_as_that() -> None:
    assert math.isnan(values("up NaN\n")[0][2])


def test_a_page_that_ends_in_a_line_is_cut_and_the_line_not_believed() -> None:
    page = parse_page(b"up 1\nup 10", WANTED, "it")
    assert page.is_cut
    assert [sample.value for sample in page.samples] == [1.0]
    assert parse_page(b"", WANTED, "it") == ((), 0, False)


@pytest.mark.parametrize("body", [b"<html><body>login</body></html>", b"\n  <!DOCTYPE html>\n", b"\xef\xbb\xbf<p>"])
def test_a_web_page_is_told(body: bytes) -> None:
    with pytest.raises(BadAnswerError, match="it is a web page, not metrics"):
        parse_page(body, WANTED, "it")


def test_too_much_is_not_read() -> None:
    with pytest.raises(BadAnswerError, match="larger than 16 MiB"):
        parse_page(b"up 1\n" * (PAGE_LIMIT_BYTES // 5 + 1), WANTED, "it")


def test_too_many_samples_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_text, "SAMPLES_LIMIT", 10)
    with pytest.raises(BadAnswerError, match="more than 10 samples"):
        parse_page(b"up 1\n" * 11, WANTED, "it")


@given(st.binary(max_size=400))
def test_garbage_raises_nothing_else(noise: bytes) -> None:
    try:
        parse_page(b"up{" + noise + b"\nup 1\n", WANTED, "it")
        parse_page(noise, WANTED, "it")
    except BadAnswerError:
        pass


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), st.text(st.characters(codec="ascii"))))
def test_any_label_comes_back(labels: dict[str, str]) -> None:
    escaped = {
        name: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, text in labels.items()
    }
    inside = ",".join(f'{name}="{text}"' for name, text in escaped.items())
    (sample,) = parse_page(f"up{{{inside}}} 1\n".encode(), WANTED, "it").samples
    assert dict(sample.labels) == {name: harmless(text) for name, text in labels.items()}


_PIECES = (*'{ } " a="x" b="y}" \\ , = # 1 2.5e3 +Inf NaN _ é'.split(), " ", "\t", "\r")


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
@example('{a="x"} 3 # {b="y}"} 0.5')
@example('{a="x"} 1 1700000000000')
def test_the_short_way_reads_a_line_as_the_long_one_does(rest: str) -> None:
    expected = read_sample("up", rest.encode(), {}) if rest[:1] in ("{", " ", "\t") else None
    page = parse_page(f"up{rest}\n".encode(), WANTED, "it")
    assert repr(page.samples) == repr((expected,) if expected else ())


def test_labels_that_come_again_have_the_new_value() -> None:
    for value in (1.0, 2.0, 2.0, 0.5):
        assert values(f'up{{a="x"}} {value}\nup_total{{a="x"}} {value + 1}\n') == [
            ("up", {"a": "x"}, value),
            ("up_total", {"a": "x"}, value + 1),
        ]


def test_quotes_without_end_do_not_take_forever() -> None:
    body = b'up{a="' + b'\\"' * 200_000 + b"\n" + b'up{a="x"' * 50_000 + b"\nup 1\n"
    page = parse_page(body, WANTED, "it")
    assert len(page.samples) == 1


def test_the_page_for_these_tests_is_whole() -> None:
    page = parse_page(dcgm_page(), ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_FB_USED"), "it")
    assert (len(page.samples), page.broken, page.is_cut) == (16, 0, False)
