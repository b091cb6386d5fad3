"""Makes the tapes of etcd's incidents: `python -m simulator.scenarios.make_etcd [--record] [NAME ...]`.

With `--record` a real etcd of three members is started, broken and recorded for each (`etcd_faults`, `etcd_recorder`;
they need the tests beside them, and take about 90 s each). Without it what the shipped tape holds of etcd is used
again, and only what the API tells is made anew (`etcd_story`). `--api-page` is a page of a real API server's metrics.

In `api_overloaded` etcd is that of `etcd_quorum_lost` before its fault; what the API server says of its load is made
up, on the recorded page (`api_pages`).
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from simulator.scenarios.api_pages import ApiPages, Load, Slow, read_page, rejected, write_page
from simulator.scenarios.etcd_story import STORAGE, tell
from simulator.scenarios.story import STARTED_AT
from tape.etcd import ETCD_PREFIX
from tape.format import TAPE_VERSION, Frame, Header, TapeError
from tape.reader import Tape
from tape.slim import slim_frames
from tape.writer import write_tape

FOLDER: Final = Path(__file__).parent
OPENS_AT: Final = 4.0
FAULT_AT: Final = 12.0
OVERLOADED: Final = "api_overloaded"
OVERLOADED_UNTIL: Final = 120.0


class Incident(NamedTuple):
    title: str
    is_recorded: bool = True


INCIDENTS: Final = {
    "etcd_leader_lost": Incident("etcd's leader is killed: an election, then two of three members until it is back"),
    "etcd_quorum_lost": Incident("Two of three etcd members die: no quorum, nothing can be written, kubectl hangs"),
    "etcd_nospace": Incident("etcd's quota is used up: all looks healthy, but no lease and no status is written"),
    "etcd_fragmented": Incident("Most of etcd's data is deleted: the database keeps its size until it is defragmented"),
    "etcd_member_hangs": Incident("An etcd member stops answering while its connections stay open; two of three go on"),
    "etcd_wrong_certificate": Incident("etcd is restarted with the wrong authority: it turns all its clients away"),
    "etcd_certificate_expired": Incident("etcd is restarted after its certificates expired: no member finds another"),
    OVERLOADED: Incident("The API server is overloaded: slow LISTs of a resource that grows, requests refused", False),
}


def etcd_frames(path: Path) -> list[Frame]:
    """Return what a tape holds of etcd. Raises TapeError."""
    return [frame for frame in Tape(path).frames() if f"{frame.source}/".startswith(ETCD_PREFIX)]


def path_of(name: str) -> Path:
    """Return where the tape of an incident lies."""
    return FOLDER / f"{name}.jsonl.gz"


def frames(name: str, recorded: Sequence[Frame] = ()) -> list[Frame]:
    """Tell one incident on what was recorded of etcd. Raises KeyError for an unknown name, TapeError and OSError."""
    if not INCIDENTS[name].is_recorded:
        first = [frame for frame in etcd_frames(path_of("etcd_quorum_lost")) if frame.t < FAULT_AT]
        return tell(first, OVERLOADED_UNTIL, ApiPages(read_page()), overload)
    return tell(recorded, max(frame.t for frame in recorded), ApiPages(read_page()))


def overload(t: float) -> Load:
    """A job writes ever more ConfigMaps, and many clients list all of them without the cache, from `FAULT_AT` on."""
    past = max(0.0, t - FAULT_AT)
    objects = 24_000 + 450 * past
    gauges = {
        'apiserver_resource_objects{group="",resource="configmaps"}': objects,
        'apiserver_resource_size_estimate_bytes{group="",resource="configmaps"}': objects * 6_000,
        STORAGE: 400e6 + objects * 6_500,
    }
    if past:
        level = 'flow_schema="service-accounts",priority_level="workload-low"'
        gauges |= {
            rejected("service-accounts", "workload-low"): float(int(past * 14)),
            f"apiserver_flowcontrol_current_executing_seats{{{level}}}": 96,
            'apiserver_current_inflight_requests{request_kind="readOnly"}': 187,
            'apiserver_current_inflight_requests{request_kind="mutating"}': 21,
            'apiserver_current_inqueue_requests{request_kind="readOnly"}': 310,
            "process_open_fds": 640,
        }
    lists = Slow('resource="configmaps",scope="cluster",subresource="",verb="LIST"', 1.5, 8.0, 30.0)
    others = Slow('resource="pods",scope="cluster",subresource="",verb="LIST"', 0.4, 0.6, 3.0)
    return Load(t, gauges, (lists, others), past)


def record(name: str) -> list[Frame]:
    """Record a real etcd, on a disk in memory if there is one."""
    from simulator.scenarios import etcd_faults

    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        found = asyncio.run(etcd_faults.record(name, Path(folder)))
    return list(slim_frames(sorted(found, key=lambda frame: frame.t)))


def write(name: str, made: Sequence[Frame]) -> None:
    """Write one tape. Raises TapeError."""
    header = Header(
        TAPE_VERSION,
        name=name,
        title=INCIDENTS[name].title,
        started_at=STARTED_AT,
        start_at=OPENS_AT,
        hold_at=max(frame.t for frame in made),
        context="serving-prod",
        server="v1.36.2",
    )
    write_tape(path_of(name), header, made)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tapes beside this file."""
    parser = argparse.ArgumentParser(prog="python -m simulator.scenarios.make_etcd", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(INCIDENTS)}; else all")
    parser.add_argument("--record", action="store_true", help="record a real etcd anew")
    parser.add_argument("--api-page", type=Path, help="a page of a real API server's metrics to start from")
    given = parser.parse_args(arguments)
    try:
        if given.api_page is not None:
            write_page(given.api_page.read_text())
        for name in given.names or INCIDENTS:
            recorded: list[Frame] = []
            if INCIDENTS[name].is_recorded:
                recorded = record(name) if given.record else etcd_frames(path_of(name))
            write(name, frames(name, recorded))
    except (TapeError, OSError) as error:
        print(f"make_etcd: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"make_etcd: no incident {error}; there are: {', '.join(INCIDENTS)}", file=sys.stderr)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main())
