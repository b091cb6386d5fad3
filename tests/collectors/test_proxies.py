"""Proxies on the way to the API server that cannot be used, or say no: a mistake of ours, never a dead API server."""

from pathlib import Path

import pytest

from collectors.errors import BadAnswerError, ConfigurationError
from collectors.kubernetes.client import connect
from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.server import Simulator
from tests.collectors.kubeconfigs import kubeconfig

SERVER = "https://10.0.0.1:6443"


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("proxy.example:3128", "proxy.example:3128"),
        ("nonsense", "nonsense"),
        ("http://", "http://"),
        ("http://p:port", "http://p:port"),
        ("socks5://me:secret@p:1080", "socks5://p:1080"),
        ("me:secret@p:3128", "p:3128"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_named_with_its_place(tmp_path: Path, proxy: str, shown: str) -> None:
    file = kubeconfig(tmp_path, SERVER, {}, {"proxy-url": proxy})
    with pytest.raises(ConfigurationError) as caught:
        await connect(str(file), environ={})
    said = f"{file}: cluster of context 'prod': proxy-url: no usable proxy: {shown!r}; "
    assert str(caught.value) == said + "it must begin with http:// or https://"


async def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, SERVER, {})
    with pytest.raises(ConfigurationError, match=r"HTTPS_PROXY or HTTP_PROXY: no usable proxy: 'socks5://p:1080'"):
        await connect(str(file), environ={"HTTPS_PROXY": "socks5://p:1080"})


async def test_407_is_a_proxys_answer(tmp_path: Path) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.faults.answers.append(Answer("/", 407, "who are you?", times=None))
        async with await connect(str(kubeconfig(tmp_path, simulator.url, {})), environ={}) as client:
            with pytest.raises(BadAnswerError) as caught:
                await client.get("/version")
    assert str(caught.value) == f"a proxy on the way to {simulator.url} wants credentials (407): who are you?"
