"""What is kept of a model server's pod, and of no other pod."""

import msgspec
import pytest

from collectors.kubernetes.lists import Decoder
from situation.kinds import BY_NAME
from situation.pods import Pod

_POD = {
    "metadata": {"name": "llama-0", "namespace": "serving"},
    "spec": {
        "containers": [
            {
                "name": "server",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model", "meta/llama", "--api-key", "secret-1"],
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
            }
        ],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    },
}


def decoded(image: str) -> Pod:
    raw = msgspec.json.encode(_POD).replace(b"vllm/vllm-openai:v0.11.0", image.encode())
    pod = Decoder(BY_NAME["pods"]).decode(raw)
    assert isinstance(pod, Pod)
    return pod


def test_command_line_mounts_and_volumes_of_a_model_server_are_kept_without_its_secrets() -> None:
    pod = decoded("vllm/vllm-openai:v0.11.0")
    (container,) = pod.spec.containers
    assert container.args == ("--model", "meta/llama", "--api-key", "***")
    assert [(mount.name, mount.mount_path) for mount in container.volume_mounts] == [("shm", "/dev/shm")]
    (volume,) = pod.spec.volumes
    assert volume.empty_dir is not None and volume.empty_dir.medium == "Memory"


@pytest.mark.parametrize("image", ["nginx:1.27", "registry.example/shop/web:2"])
def test_of_other_pods_neither_command_line_nor_mounts_are_kept(image: str) -> None:
    (container,) = decoded(image).spec.containers
    assert (container.command, container.args, container.volume_mounts) == ((), (), ())
