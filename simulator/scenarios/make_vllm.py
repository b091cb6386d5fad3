"""Makes the tapes of the model servers' incidents: `python -m simulator.scenarios.make_vllm [--recordings FOLDER]`.

With `--recordings` the recorded pages that two of them rest on are taken from there anew (`vllm_pages`).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from simulator.scenarios import vllm_incidents as vllm
from simulator.scenarios.incident import Incident, write_all
from simulator.scenarios.vllm_pages import write_pages

INCIDENTS: Final = {
    "vllm_queue": Incident(
        "A burst of requests for a model server that takes eight at once: 52 wait, and time to first token explodes",
        vllm.queue,
        vllm.QUEUE_UNTIL,
        again_from=vllm.QUEUE_UNTIL - vllm.QUEUE_ROUND_S,
    ),
    "vllm_preemption": Incident(
        "A model server admits more than its KV cache holds: requests are thrown out and computed again",
        vllm.preemption,
        vllm.PREEMPTION_UNTIL,
        again_from=vllm.PREEMPTION_UNTIL - vllm.PREEMPTION_ROUND_S,
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
    write_all(INCIDENTS, "serving-prod")
    return 0


if __name__ == "__main__":
    sys.exit(main())
