"""Pages as a DCGM exporter writes them: the operator's default metrics, and what a test lays over."""

from collections.abc import Iterator, Mapping
from typing import Final

DEFAULTS: Final[Mapping[str, float]] = {
    "DCGM_FI_DEV_SM_CLOCK": 1980,
    "DCGM_FI_DEV_MEM_CLOCK": 2619,
    "DCGM_FI_DEV_MEMORY_TEMP": 47,
    "DCGM_FI_DEV_GPU_TEMP": 41,
    "DCGM_FI_DEV_POWER_USAGE": 117.35,
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 81_726_354_412,
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": 0,
    "DCGM_FI_DEV_GPU_UTIL": 63,
    "DCGM_FI_DEV_MEM_COPY_UTIL": 31,
    "DCGM_FI_DEV_ENC_UTIL": 0,
    "DCGM_FI_DEV_DEC_UTIL": 0,
    "DCGM_FI_DEV_XID_ERRORS": 0,
    "DCGM_FI_DEV_FB_FREE": 20_000,
    "DCGM_FI_DEV_FB_USED": 60_000,
    "DCGM_FI_DEV_FB_RESERVED": 1_559,
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": 0,
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": 0,
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": 0,
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL": 0,
    "DCGM_FI_DEV_VGPU_LICENSE_STATUS": 0,
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.634512,
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.228106,
    "DCGM_FI_PROF_DRAM_ACTIVE": 0.312251,
    "DCGM_FI_PROF_PCIE_TX_BYTES": 1_288_331_021,
    "DCGM_FI_PROF_PCIE_RX_BYTES": 982_133_401,
}
GPU: Final = "GPU-5fd4f087-86f3-7a43-b711-4771313afc{:02d}"


def labels_of(gpu: int, node: str = "gpu-07", **more: str) -> dict[str, str]:
    """Labels of GPU number `gpu` of an H100 node; an empty string in `more` takes a label away."""
    labels = {
        "gpu": str(gpu),
        "UUID": GPU.format(gpu),
        "pci_bus_id": f"00000000:{gpu + 16:02X}:00.0",
        "device": f"nvidia{gpu}",
        "modelName": "NVIDIA H100 80GB HBM3",
        "Hostname": node,
        "DCGM_FI_DRIVER_VERSION": "580.95.05",
        **more,
    }
    return {name: value for name, value in labels.items() if value}


def line(name: str, labels: Mapping[str, str], value: float | str) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}\n"


def dcgm_page(
    gpus: int = 8, values: Mapping[int, Mapping[str, float | str]] | None = None, *, extra: str = "", **labels: str
) -> bytes:
    """Return a page of `gpus` GPUs; `values` by GPU are laid over the defaults, `labels` over all lines' labels."""
    return ("".join(_lines(gpus, values or {}, labels)) + extra).encode()


def _lines(gpus: int, values: Mapping[int, Mapping[str, float | str]], labels: Mapping[str, str]) -> Iterator[str]:
    pod = {"container": "vllm", "namespace": "serving", "pod": "llama-70b-0"}
    own = dict.fromkeys(name for given in values.values() for name in given)
    for name in dict.fromkeys((*DEFAULTS, *own)):
        yield f"# HELP {name} As the exporter's list of counters explains it (in its unit).\n"
        yield f"# TYPE {name} {'counter' if name.endswith('COUNTER') else 'gauge'}\n"
        for gpu in range(gpus):
            value = values.get(gpu, {}).get(name, DEFAULTS.get(name))
            if value is not None:
                yield line(name, labels_of(gpu, **{**pod, **labels}), value)
