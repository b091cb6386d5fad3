"""The log signatures that are known, by family: a family is a module with `SIGNATURES`."""

from typing import Final

from diagnosis.log_catalogue import devices, driver, etcd, operands, runtime, vllm, vllm_start
from diagnosis.log_catalogue.signature import Signature

FAMILIES: Final[tuple[tuple[Signature, ...], ...]] = (
    driver.SIGNATURES,
    runtime.SIGNATURES,
    devices.SIGNATURES,
    operands.SIGNATURES,
    etcd.SIGNATURES,
    vllm.SIGNATURES,
    vllm_start.SIGNATURES,
)
ALL: Final[tuple[Signature, ...]] = tuple(signature for family in FAMILIES for signature in family)
BY_ID: Final = {signature.id: signature for signature in ALL}
