"""The rules, one file per family. `ALL` lists them in order of precedence: for a pod, the first to fire is its fault.

The order is that of the fault catalogue's precedence: control plane, node, not scheduled, not created, not started,
container, network.
"""

from typing import Final

from diagnosis.rule import Rule
from diagnosis.rules import (
    addresses,
    api_server,
    claims,
    configuration,
    container_start,
    containers,
    control_plane,
    creation,
    evictions,
    gpu_devices,
    gpu_load,
    gpus,
    images,
    init_containers,
    mounts,
    network,
    node_agents,
    node_conditions,
    nodes,
    readiness,
    refusals,
    rollouts,
    scheduling,
    service_hints,
    service_selectors,
    services,
    slow_start,
    startup,
    terminating,
    webhooks,
)

FAMILIES: Final = (
    api_server,
    control_plane,
    webhooks,
    nodes,
    node_conditions,
    terminating,
    scheduling,
    claims,
    creation,
    evictions,
    refusals,
    configuration,
    container_start,
    startup,
    mounts,
    images,
    containers,
    init_containers,
    slow_start,
    readiness,
    rollouts,
    gpus,
    gpu_devices,
    gpu_load,
    node_agents,
    services,
    service_selectors,
    network,
    service_hints,
    addresses,
)
ALL: Final[tuple[Rule, ...]] = tuple(rule for family in FAMILIES for rule in family.RULES)
BY_ID: Final = {rule.id: rule for rule in ALL}
