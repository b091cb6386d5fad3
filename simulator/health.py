"""`/version`, `/readyz`, `/livez` and `/healthz`, and what else the API server tells of itself."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from simulator.cluster import Cluster
from simulator.faults import Faults

_WITHOUT_ETCD: Final = re.compile(r"^\[[+-]\]etcd( ok| failed: .*)$", re.MULTILINE)


def answer_health(path: str, query: Mapping[str, str], cluster: Cluster, faults: Faults) -> web.Response | None:
    """Answer a health path, or return None. A failing check makes it 500 with the whole list, as on a real server."""
    if path == "/version":
        return web.json_response(body=msgspec.json.encode(cluster.version))
    if (page := cluster.server_pages.get(path)) is not None:
        return web.Response(status=page.status, text=page.text)
    if path not in ("/readyz", "/livez", "/healthz"):
        return None
    name = path[1:]
    code, text = cluster.readyz
    text = text.replace("readyz", name)
    if faults.freeze_etcd and query.get("exclude") != "etcd":
        code = 500
        text = text.replace("[+]etcd ok", "[-]etcd failed: reason withheld")
        text = text.replace(f"{name} check passed", f"{name} check failed")
    if query.get("exclude") == "etcd":
        text = _WITHOUT_ETCD.sub("[+]etcd excluded: ok", text)
        code = 500 if "[-]" in text else 200
        text = text if code != 200 else text.replace(f"{name} check failed", f"{name} check passed")
    if code == 200 and "verbose" not in query:
        text = "ok"
    return web.Response(status=code, text=text)
