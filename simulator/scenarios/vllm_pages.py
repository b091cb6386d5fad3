"""Recorded pages of vLLM over time, told slower and again and again.

The pages are those of a real vLLM 0.32.0 with a tiny model on a CPU and `--max-num-seqs 8` (`vllm_pages.json.gz` beside
this file, slimmed): `queue`, 60 requests at once of which 52 wait, and `preemption`, 40 requests on too few blocks of
KV cache. Changed here: the name of the model, the start of the process, and `gpu_memory_utilization`; time goes
`SLOWER` times as slowly, so that a person has the time to look, and what was measured in seconds takes as much longer
(its buckets are filled anew). Nothing else is: who stands in the queue, and what fills the cache, is as recorded.
"""

import gzip
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tape.serving import slim_serving_page

PAGES_FILE: Final = Path(__file__).parent / "vllm_pages.json.gz"
SLOWER: Final = 5.0
ROUNDS_BEFORE: Final = 30
"""How often the same has happened before the tape begins: counters of a server that has been up for a while."""
_RECORDINGS: Final = {"queue": "queue_saturation_v0.32.0.jsonl", "preemption": "preemption_v0.32.0.jsonl"}
_SAMPLE: Final = re.compile(r"([\w:]+)(?:\{(.*)\})? (\S+)")
_LE: Final = re.compile(r'le="([^"]+)",?')
_COUNTED: Final = re.compile(r"_(total|bucket|sum|count)$")


class TimedPage(NamedTuple):
    """A page, and the second of the recording at which it was read."""

    t: float
    text: str


def read_pages() -> dict[str, list[TimedPage]]:
    """Return the recorded pages. Raises OSError."""
    return msgspec.json.decode(gzip.decompress(PAGES_FILE.read_bytes()), type=dict[str, list[TimedPage]])


def write_pages(folder: Path) -> None:
    """Keep what the tapes need of the recordings. Raises OSError."""
    kept: dict[str, list[TimedPage]] = {}
    for name, file in _RECORDINGS.items():
        lines = map(msgspec.json.decode, (folder / file).read_bytes().splitlines())
        kept[name] = [TimedPage(round(line["t"], 1), slim_serving_page(line["body"])) for line in lines]
    PAGES_FILE.write_bytes(gzip.compress(msgspec.json.encode(kept), mtime=0))


def round_s(pages: list[TimedPage]) -> float:
    """Return how long a round of recorded pages is as it is told: the next one begins a page later."""
    return SLOWER * (pages[-1].t + pages[-1].t - pages[-2].t)


def told(
    pages: list[TimedPage], rounds: int, model: str, started_at: float, begins: float = 0.0
) -> Iterator[TimedPage]:
    """Yield the pages as a tape has them, from `begins` on: each round takes as long as the recording, told slower."""
    last, length = _values(pages[-1].text), round_s(pages)
    for number in range(rounds):
        for page in pages:
            text = _page(page.text, last, ROUNDS_BEFORE + number, model, started_at)
            yield TimedPage(round(begins + number * length + SLOWER * page.t, 1), text)


def _values(text: str) -> dict[str, float]:
    """Return the samples of a page by name and labels, with latencies as they are told."""
    found: dict[str, float] = {}
    buckets: dict[str, dict[float, float]] = {}
    for line in text.splitlines():
        if (match := _SAMPLE.fullmatch(line)) is None:
            continue
        key, value = line.rpartition(" ")[0], float(match[3])
        found[key] = value * SLOWER if match[1].endswith("_seconds_sum") else value
        if match[1].endswith("_seconds_bucket") and (bound := _LE.search(match[2])):
            buckets.setdefault(_LE.sub("", key), {})[float(bound[1])] = value
    return {key: _slower(buckets, key, value) for key, value in found.items()}


def _slower(buckets: Mapping[str, Mapping[float, float]], key: str, value: float) -> float:
    """Return what a bucket holds if all took longer: as many as were within a shorter time, spread evenly in theirs."""
    bound = _LE.search(key)
    counts = buckets.get(_LE.sub("", key)) if bound is not None else None
    if bound is None or counts is None or bound[1] == "+Inf":
        return value
    within = float(bound[1]) / SLOWER
    for (low, before), (high, upto) in pairwise([(0.0, 0.0), *sorted(counts.items())]):
        if within <= high:
            share = (within - low) / (high - low) if high != float("inf") else 1.0
            return float(int(before + (upto - before) * share))
    return value


def _page(text: str, last: Mapping[str, float], rounds: int, model: str, started_at: float) -> str:
    """Return one page after so many whole rounds."""
    values, lines = _values(text), []
    for line in text.splitlines():
        key, _, _ = line.rpartition(" ")
        name = key.partition("{")[0]
        if key not in values:
            lines.append(line)
        elif name == "process_start_time_seconds":
            lines.append(f"{name} {started_at:.2f}")
        else:
            before = rounds * last.get(key, 0.0) if _COUNTED.search(name) else 0.0
            lines.append(f"{key} {before + values[key]:.10g}")
    made = "\n".join(lines) + "\n"
    made = re.sub(r'gpu_memory_utilization="[^"]*"', 'gpu_memory_utilization="0.9"', made)
    return made.replace('model_name="tiny"', f'model_name="{model}"')
