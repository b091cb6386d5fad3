"""Makes the tapes of the model servers' incidents: `python -m simulator.scenarios.make_vllm [--recordings FOLDER]`.

With `--recordings` the recorded pages that two of them rest on are taken from there anew (`vllm_pages`).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from simulator.scenarios import vllm_incidents as vllm
from simulator.scenarios.gpu_story import GpuStory, keep_renewing
from simulator.scenarios.story import STARTED_AT
from simulator.scenarios.vllm_pages import write_pages
from tape.format import TAPE_VERSION, Frame, Header
from tape.writer import write_tape

OPENS_AT: Final = 4.0


class Incident(NamedTuple):
    title: str
    tell: Callable[[], GpuStory]
    hold_at: float
    opens_at: float = OPENS_AT


INCIDENTS: Final = {
    "vllm_queue": Incident(
        "A burst of requests for a model server that takes eight at once: 52 wait, and time to first token explodes",
        vllm.queue,
        515.0,
    ),
    "vllm_preemption": Incident(
        "A model server admits more than its KV cache holds: requests are thrown out and computed again",
        vllm.preemption,
        580.0,
    ),
    "vllm_stalled": Incident(
        "A model server hangs: eight requests run, not one token comes, and /health says that all is well",
        vllm.stalled,
        vllm.STALLED_UNTIL,
    ),
    "vllm_engine_dead": Incident(
        "The engine of a model server dies of a CUDA error: it loads again, serves, and dies again",
        vllm.engine_dead,
        vllm.DEAD_UNTIL,
    ),
    "vllm_device_oom": Incident(
        "A 70B model on a single GPU: the weights do not fit into its memory, and the server crashes",
        vllm.device_oom,
        vllm.OUT_OF_MEMORY_UNTIL,
    ),
    "vllm_killed_before_ready": Incident(
        "A startup probe of a minute kills a large model server while it loads, again and again",
        vllm.killed_before_ready,
        vllm.KILLED_UNTIL,
        85.0,
    ),
}


def frames(name: str) -> Iterator[Frame]:
    """Tell one incident. Raises KeyError for an unknown name."""
    incident = INCIDENTS[name]
    story = incident.tell()
    keep_renewing(story, incident.hold_at)
    return (frame for frame in story.frames() if frame.t <= incident.hold_at)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tapes beside this file."""
    parser = argparse.ArgumentParser(prog="python -m simulator.scenarios.make_vllm", description=main.__doc__)
    parser.add_argument("--recordings", type=Path, help="folder with recorded pages, one JSON line for each")
    given = parser.parse_args(arguments)
    try:
        if given.recordings is not None:
            write_pages(given.recordings)
    except OSError as error:
        print(f"make_vllm: {error}", file=sys.stderr)
        return 1
    for name, incident in INCIDENTS.items():
        header = Header(
            TAPE_VERSION,
            name=name,
            title=incident.title,
            started_at=STARTED_AT,
            start_at=incident.opens_at,
            hold_at=incident.hold_at,
            context="serving-prod",
            server="v1.36.2",
        )
        write_tape(Path(__file__).parent / f"{name}.jsonl.gz", header, frames(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
