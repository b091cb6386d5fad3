"""The certificate that a server shows in its TLS handshake, whoever asks, and even if it then refuses the client.

Certificates are not verified here: nothing is sent over the connection, nothing that comes over it is believed but the
dates of the certificate, and one that has expired or has an unknown CA is just what has to be read.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Final

from collectors.errors import BadAnswerError, UnreachableError
from situation.text import harmless

_CHUNK: Final = 2**14
_LIMIT: Final = 2**18
"""Bytes of a handshake; one with a long chain has ten thousand."""
_HANDSHAKE_RECORD: Final = 22
_CERTIFICATE_MESSAGE: Final = 11


async def served_certificate(host: str, port: int, *, deadline_s: float, server_name: str = "") -> bytes:
    """Return the leaf certificate (DER) that a server shows within `deadline_s` seconds.

    `server_name` is asked for instead of `host` (SNI); an address is not sent as a name. Raises UnreachableError.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return await _shown(reader, writer, server_name or host)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise UnreachableError(f"no TLS handshake with {shown} within {deadline_s:g} s") from error
    except ssl.SSLError as error:
        raise BadAnswerError(f"no TLS handshake with {shown}: {_why(error)}") from error
    except ValueError as error:
        raise UnreachableError(f"no TLS handshake with {shown}: not a usable name: {harmless(str(error))}") from error
    except OSError as error:
        raise UnreachableError(
            f"cannot connect to {shown}: {harmless(error.strerror or str(error)).lower()}"
        ) from error


async def _shown(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_name: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _unverified().wrap_bio(incoming, outgoing, server_hostname=server_name)
    seen = bytearray()
    while True:
        try:
            tls.do_handshake()
            found = tls.getpeercert(binary_form=True) or b""
            with suppress(ssl.SSLError):
                tls.unwrap()
            writer.write(outgoing.read())  # ended in order, so that the server has nothing to complain of in its log
            return found
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            with suppress(ConnectionError):  # what it said before it hung up is still to be read
                await writer.drain()
        except ssl.SSLError:
            # Up to TLS 1.2 a server that wants a client certificate refuses in the middle, after it has shown its own.
            if found := certificate_in(seen):
                return found
            raise
        try:
            chunk = await reader.read(_CHUNK)
        except ConnectionError:
            chunk = b""
        if not chunk or len(seen) > _LIMIT:
            if found := certificate_in(seen):
                return found
            raise ssl.SSLError(1, "it closed the connection" if not chunk else "it goes on without end")
        seen += chunk
        incoming.write(chunk)


def certificate_in(stream: bytes | bytearray) -> bytes:
    """Return the leaf certificate of a plain handshake message (TLS 1.2 and before), empty if there is none.

    RFC 5246, sections 6.2.1 (records), 7.4 (messages) and 7.4.2 (Certificate).
    """
    messages, position = bytearray(), 0
    while position + 5 <= len(stream) and stream[position] == _HANDSHAKE_RECORD:
        end = position + 5 + int.from_bytes(stream[position + 3 : position + 5], "big")
        messages += stream[position + 5 : end]
        position = end
    position = 0
    while position + 4 <= len(messages):
        kind, size = messages[position], int.from_bytes(messages[position + 1 : position + 4], "big")
        content = messages[position + 4 : position + 4 + size]
        if kind == _CERTIFICATE_MESSAGE:
            length = int.from_bytes(content[3:6], "big")
            leaf = bytes(content[6 : 6 + length])
            return leaf if len(leaf) == length else b""
        position += 4 + size
    return b""


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(error: ssl.SSLError) -> str:
    reason = error.reason or (error.args[1] if len(error.args) > 1 else "")
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "it does not speak TLS"
    return harmless(str(reason)).replace("_", " ").lower()
