"""`/version`, `/readyz`, `/livez`, `/healthz`, and what else the API server tells of itself."""

import asyncio
import re
from collections.abc import Collection
from typing import Final

import msgspec
from aiohttp import web
from multidict import MultiMapping

from simulator.cluster import Cluster
from simulator.faults import Faults
from simulator.pages import PLAIN_TEXT
from simulator.priority import priority_table

_ETCD_CHECKS: Final = re.compile(r"^\[\+\](etcd|etcd-readiness) ok$", re.MULTILINE)
_VERDICT: Final = re.compile(r"^(\w+) check (passed|failed)$", re.MULTILINE)


async def answer_health(path: str, query: MultiMapping[str], cluster: Cluster, faults: Faults) -> web.Response | None:
    """Answer a health path, or return None. A failing check makes it 500 with the whole list, as on a real server.

    With etcd frozen the checks of etcd fail after `faults.etcd_check_s`, unless they are excluded.
    """
    if path == "/version":
        return web.json_response(body=msgspec.json.encode(cluster.version))
    if path == "/metrics" and cluster.metrics is not None:
        page = cluster.metrics
        return web.Response(status=page.status, body=page.text.encode(), headers={"Content-Type": PLAIN_TEXT})
    if cluster.metrics is not None and (table := priority_table(path, cluster.metrics)) is not None:
        return web.Response(text=table)
    if path not in ("/readyz", "/livez", "/healthz"):
        return None
    name = path[1:]
    text = cluster.livez[1] if name == "livez" and cluster.livez is not None else cluster.readyz[1]
    if name == "livez":
        text = re.sub(r"^.*\b(etcd-readiness|informer-sync|shutdown) .*\n", "", text, flags=re.MULTILINE)
    excluded = query.getall("exclude", [])
    if faults.freeze_etcd:
        text = _ETCD_CHECKS.sub(r"[-]\1 failed: reason withheld", text)
        if "etcd" not in excluded:
            await asyncio.sleep(faults.etcd_check_s)
    text = _without(text, excluded)
    failed = any(line.startswith("[-]") for line in text.splitlines())
    text = _VERDICT.sub(f"{name} check {'failed' if failed else 'passed'}", text)
    if not failed and "verbose" not in query:
        text = "ok"
    return web.Response(status=500 if failed else 200, text=text)


def _without(text: str, excluded: Collection[str]) -> str:
    """Return the list with these checks left out of the verdict."""
    for name in excluded:
        text = re.sub(rf"^\[[+-]\]{re.escape(name)} .*$", f"[+]{name} excluded: ok", text, flags=re.MULTILINE)
    return text
