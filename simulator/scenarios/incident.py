"""An incident that a script tells, and its tape: shared by `make_gpu` and `make_vllm`."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from simulator.scenarios.gpu_story import GpuStory, keep_renewing
from simulator.scenarios.story import STARTED_AT
from tape.format import TAPE_VERSION, Frame, Header
from tape.writer import write_tape

OPENS_AT: Final = 4.0


class Incident(NamedTuple):
    """Seconds count from the start of the tape."""

    title: str
    tell: Callable[[], GpuStory]
    hold_at: float
    opens_at: float = OPENS_AT
    again_from: float | None = None
    """`tape.format.Header.again_from`"""

    def frames(self) -> Iterator[Frame]:
        """Tell it, up to `hold_at`."""
        story = self.tell()
        keep_renewing(story, self.hold_at)
        return (frame for frame in story.frames() if frame.t <= self.hold_at)


def write_all(incidents: Mapping[str, Incident], context: str) -> None:
    """Write the tapes of incidents beside this file, by name. Raises TapeError."""
    for name, incident in incidents.items():
        header = Header(
            TAPE_VERSION,
            name=name,
            title=incident.title,
            started_at=STARTED_AT,
            start_at=incident.opens_at,
            hold_at=incident.hold_at,
            context=context,
            server="v1.36.2",
            again_from=incident.again_from,
        )
        write_tape(Path(__file__).parent / f"{name}.jsonl.gz", header, incident.frames())
