"""The configuration's `oidc_renew = false`: whatever connects leaves the tokens of an OpenID user to kubectl."""

from pathlib import Path

import pytest

from simulator.cluster import Cluster
from simulator.server import Simulator
from tests.tui.commands import midwatch, write_kubeconfig

EXPIRED = "e30.eyJleHAiOjF9.e30"
"""A token that ended in 1970."""


@pytest.mark.parametrize("command", [("check",), ("doctor",), ("doctor", "--local")])
async def test_tokens_are_left_to_kubectl(tmp_path: Path, command: tuple[str, ...]) -> None:
    issuer = {"idp-issuer-url": "http://127.0.0.1:1", "client-id": "kube", "refresh-token": "r", "id-token": EXPIRED}
    user = {"auth-provider": {"name": "oidc", "config": issuer}}
    config = tmp_path / ".config" / "midwatch" / "config.toml"
    config.parent.mkdir(parents=True)
    of_host = f'kubernetes_dir = "{tmp_path}"\n'
    config.write_text(of_host)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "kube-scheduler.yaml").touch()
    async with Simulator(Cluster()) as simulator:
        write_kubeconfig(tmp_path / "kubeconfig", simulator.url, user=user)
        asked = await midwatch(tmp_path, *command, "--kubeconfig", "kubeconfig")
        config.write_text(f"{of_host}oidc_renew = false\n")
        left = await midwatch(tmp_path, *command, "--kubeconfig", "kubeconfig")
    assert "cannot be renewed" in asked.out
    assert "renewing it is left to kubectl" in left.out
