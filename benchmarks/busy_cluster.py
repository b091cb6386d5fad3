"""`python -m benchmarks.busy_cluster NODES PODS EVENTS_PER_S KUBECONFIG`: a cluster that changes all the time.

Prints `ready`; then, for each line that it reads, it changes a beacon pod and prints when it did: monotonic, the
same clock in all processes of a machine.
"""

import asyncio
import sys
from pathlib import Path
from time import monotonic

from simulator.cluster import Cluster
from simulator.generator import churn, generate
from simulator.server import Simulator


def put_beacon(cluster: Cluster, number: int) -> None:
    """A pod that is not well (so it stands at the top of the table) and shows a number as its status."""
    cluster.put(
        "pods",
        {
            "metadata": {"name": "a-beacon", "namespace": "a-bench", "creationTimestamp": "2026-11-23T00:00:00Z"},
            "spec": {"containers": [{"name": "app"}]},
            "status": {"phase": "Failed", "reason": f"Beacon{number}"},
        },
    )


async def serve(nodes: int, pods: int, per_s: float, kubeconfig: Path) -> None:
    """Serve until standard input ends."""
    cluster = generate(nodes=nodes, pods=pods)
    put_beacon(cluster, 0)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Simulator(cluster) as simulator:
        simulator.write_kubeconfig(kubeconfig)
        print("ready", flush=True)
        churning = asyncio.create_task(churn(cluster, per_s))
        number = 0
        while await reader.readline():
            number += 1
            began = monotonic()
            put_beacon(cluster, number)
            print(began, flush=True)
        churning.cancel()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])))
