"""Lists and lines, split at any place."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.kubernetes.lines import LineSplitter
from collectors.kubernetes.list_items import CutListError, ListSplitter

_leaf = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=12)
    | st.sampled_from(['},{"metadata"', '"items":[', "]}", '{"metadata":{}}', "\\", '"'])
)
_json = st.recursive(
    _leaf,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metadata", "items", "a", '},{"metadata"']), inner, max_size=3)
    ),
    max_leaves=12,
)
_item = st.dictionaries(st.sampled_from(["spec", "status", "kind", "items"]), _json, max_size=3).flatmap(
    lambda rest: st.sampled_from([{"metadata": {"name": "x"}, **rest}, rest])
)
_metadata = st.fixed_dictionaries(
    {"resourceVersion": st.text("0123456789", max_size=5)},
    optional={"continue": st.text("abc=", max_size=5), "remainingItemCount": st.integers(0, 9)},
)


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": "PodList", "apiVersion": "v1"}
    parts: list[tuple[str, Any]] = [("metadata", draw(_metadata)), ("items", draw(st.lists(_item, max_size=6)))]
    for key, value in draw(st.permutations(parts)):
        document[key] = value
    return document


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@given(_documents(), st.lists(st.integers(0, 10**6), max_size=12), st.booleans())
def test_list_items_are_what_a_whole_decode_gives(document: dict[str, Any], cuts: list[int], pretty: bool) -> None:
    data = msgspec.json.encode(document)
    if pretty:
        data = msgspec.json.format(data, indent=2)
    splitter = ListSplitter()
    raw = [item for chunk in _chunks(data, cuts) for item in splitter.feed(chunk)]
    raw += splitter.finish()
    assert [msgspec.json.decode(item) for item in raw] == document["items"]
    assert splitter.resource_version == document["metadata"]["resourceVersion"]
    assert splitter.continue_token == document["metadata"].get("continue", "")


@given(_documents(), st.integers(1, 10**6))
def test_a_cut_list_is_an_error(document: dict[str, Any], cut: int) -> None:
    data = msgspec.json.encode(document)
    splitter = ListSplitter()
    splitter.feed(data[: cut % len(data)])
    with pytest.raises(CutListError):
        splitter.finish()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"404 page not found\n",
        b'{"kind":"Status","code":500}',
        b'{"kind":"PodList","metadata":{"resourceVersion":"7"}}',
        b'{"metadata":{},"error":"x"}',
        b"[]",
        b"[" * 10_000,
    ],
)
def test_what_is_no_list_is_an_error(body: bytes) -> None:
    splitter = ListSplitter()
    assert splitter.feed(body) == []
    with pytest.raises(CutListError):
        splitter.finish()


def test_a_status_in_place_of_a_list_is_named_with_what_it_says() -> None:
    splitter = ListSplitter()
    splitter.feed(
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"token \\u001b[2Jexpired","reason":"Unauthorized","code":401}'
    )
    with pytest.raises(CutListError, match=r"^not a list but Status: 401, token ␛\[2Jexpired$"):
        splitter.finish()


def test_items_leave_before_the_end() -> None:
    splitter = ListSplitter()
    first = splitter.feed(b'{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}},{"metadata":{"na')
    assert first == [b'{"metadata":{"name":"a"}}']
    assert splitter.feed(b'me":"b"}}]}') == []
    assert splitter.finish() == [b'{"metadata":{"name":"b"}}']
    assert splitter.resource_version == "7"


def test_null_items_are_no_items() -> None:
    splitter = ListSplitter()
    splitter.feed(b'{"metadata":{"resourceVersion":"7"},"items":null}')
    assert splitter.finish() == []


@given(
    st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.lists(st.integers(0))
)
def test_lines_are_what_split_gives(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found = [line for chunk in _chunks(data, cuts) for line in splitter.feed(chunk)]
    assert found == [line for line in lines if line.strip()]
    assert splitter.take_dropped() == 0


def test_a_line_over_the_limit_is_dropped_and_the_next_is_not() -> None:
    splitter = LineSplitter(limit_bytes=10)
    assert splitter.feed(b"x" * 8) == []
    assert splitter.feed(b"x" * 8) == []
    assert splitter.feed(b"x\nshort\n") == [b"short"]
    assert splitter.take_dropped() == 1
    assert splitter.take_dropped() == 0
