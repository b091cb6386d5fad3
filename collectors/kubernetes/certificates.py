"""Reads when an X.509 certificate is valid, which the standard library keeps to itself."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME: Final = 0x17


class Validity(NamedTuple):
    """From when until when a certificate is valid, both included (RFC 5280, section 4.1.2.5)."""

    not_before: datetime
    not_after: datetime


def validity(certificate: bytes) -> Validity | None:
    """Return the validity of a certificate in DER, or of the first one in a PEM text: in a chain, the leaf.

    None if there is none that can be read. Other blocks of the text, such as private keys, are not looked at.
    """
    found = _PEM.search(certificate)
    try:
        return _validity(base64.b64decode(found[1]) if found else certificate)
    except (binascii.Error, IndexError, ValueError):
        return None


def not_after(pem: bytes) -> datetime | None:
    """Return until when the first certificate in `pem` is valid; None if there is none that can be read."""
    found = validity(pem)
    return found.not_after if found else None


def _validity(der: bytes) -> Validity:
    # RFC 5280, section 4.1: Certificate { TBSCertificate { [0] version, serialNumber, signature, issuer, validity ...
    _, certificate, _ = _element(der)
    _, fields, _ = _element(certificate)
    tag, _, rest = _element(fields)
    if tag == 0xA0:
        _, _, rest = _element(rest)
    for _ in ("signature", "issuer"):
        _, _, rest = _element(rest)
    _, times, _ = _element(rest)
    tag, text, after_not_before = _element(times)
    return Validity(_time(tag, text), _time(*_element(after_not_before)[:2]))


def _time(tag: int, text: bytes) -> datetime:
    pattern = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), pattern).replace(tzinfo=UTC)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag, content and what follows of the first DER element."""
    tag, size, start = data[0], data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    if start + size > len(data):
        raise ValueError("cut short")
    return tag, data[start : start + size], data[start + size :]
