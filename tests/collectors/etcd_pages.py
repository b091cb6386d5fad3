"""A page of a real etcd 3.5.1: the leader of three members after 200 writes, just after one of them was killed."""

import gzip
from functools import cache
from pathlib import Path

_PAGE = Path(__file__).parents[1] / "data" / "etcd_3.5.1_metrics.txt.gz"


@cache
def recorded_page() -> bytes:
    return gzip.decompress(_PAGE.read_bytes())
