"""The log signatures that are known, by family.

A family is a module with `SIGNATURES`; that of the model servers (vLLM) takes its place in `FAMILIES` as another line.
"""

from typing import Final

from diagnosis.log_catalogue import devices, driver, etcd, operands, runtime
from diagnosis.log_catalogue.signature import Signature

FAMILIES: Final[tuple[tuple[Signature, ...], ...]] = (
    driver.SIGNATURES,
    runtime.SIGNATURES,
    devices.SIGNATURES,
    operands.SIGNATURES,
    etcd.SIGNATURES,
)
ALL: Final[tuple[Signature, ...]] = tuple(signature for family in FAMILIES for signature in family)
BY_ID: Final = {signature.id: signature for signature in ALL}
