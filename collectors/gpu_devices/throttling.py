"""Why a GPU's clocks are held down: the bits of NVML's clock event reasons, which DCGM hands on unchanged."""

from typing import Final

REASONS: Final = {
    0x0000000000000001: "gpu_idle",
    0x0000000000000002: "applications_clocks_setting",
    0x0000000000000004: "sw_power_cap",
    0x0000000000000008: "hw_slowdown",
    0x0000000000000010: "sync_boost",
    0x0000000000000020: "sw_thermal_slowdown",
    0x0000000000000040: "hw_thermal_slowdown",
    0x0000000000000080: "hw_power_brake_slowdown",
    0x0000000000000100: "display_clock_setting",
}
"""`nvml.h`, nvmlClocksEventReason*."""


def reasons_of(bits: int) -> tuple[str, ...]:
    """Return the names of the set bits; unknown ones are left out."""
    return tuple(name for bit, name in REASONS.items() if bits & bit)
