"""`/version`, `/readyz`, `/livez` and `/healthz`."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from simulator.cluster import Cluster
from simulator.faults import Faults


def answer_health(path: str, query: Mapping[str, str], cluster: Cluster, faults: Faults) -> web.Response | None:
    """Answer a health path, or return None. A failing check makes it 500 with the whole list, as on a real server."""
    if path == "/version":
        return web.json_response(body=msgspec.json.encode(cluster.version))
    if path not in ("/readyz", "/livez", "/healthz"):
        return None
    name = path[1:]
    code, text = cluster.readyz
    text = text.replace("readyz", name)
    if faults.freeze_etcd and query.get("exclude") != "etcd":
        code = 500
        text = text.replace("[+]etcd ok", "[-]etcd failed: reason withheld")
        text = text.replace(f"{name} check passed", f"{name} check failed")
    if code == 200 and "verbose" not in query:
        text = "ok"
    return web.Response(status=code, text=text)
