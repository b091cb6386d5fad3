"""HTTP without TLS for httpx, on asyncio alone: a connection for each request, closed after it.

httpx's own transport finds its way through a pool and through anyio's tasks for each request, which costs more than all
else of it. Measured with 200 pages of 50 KB on loopback: 1.3 ms of processor time for each instead of 2.3.

httpx is imported when a transport is made, and not before: it brings a terminal library, for a command of its own.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import h11

if TYPE_CHECKING:
    import httpx

_READ_BYTES: Final = 2**16
_BUFFER_BYTES: Final = 2**18
_SECOND_ADDRESS_S: Final = 0.25
"""A name may have several addresses: after so long the next one is tried beside (RFC 8305)."""
_HTTP_PORT: Final = 80


def plain_transport() -> "httpx.AsyncBaseTransport":
    """Return what asks servers at `http://`, not through a proxy, and raises httpx.TransportError.

    Whoever asks has the deadline: the request is cancelled.
    """
    import httpx

    class Body(httpx.AsyncByteStream):
        def __init__(self, exchange: _Exchange) -> None:
            self._exchange = exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            with _translated():
                async for part in self._exchange.body():
                    yield part

        async def aclose(self) -> None:
            self._exchange.close()

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            url, headers = request.url, list(request.headers.raw)
            with _translated():
                asked = h11.Request(method=request.method, target=url.raw_path, headers=headers)
                exchange = _Exchange(*await _connect(url.host, url.port or _HTTP_PORT))
                head = await exchange.ask(asked)
            return httpx.Response(head.status_code, headers=list(head.headers.raw_items()), stream=Body(exchange))

    return Transport()


class _NoConnectionError(Exception):
    """Nobody could be connected to; its cause says why."""


class _NoAnswerError(Exception):
    """The connection was closed before anything was answered."""


class _Exchange:
    """One request and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def ask(self, request: h11.Request) -> h11.Response:
        """Send a request without a body, and return the answer's status and headers."""
        try:
            parts = (self._state.send(request), self._state.send(h11.EndOfMessage()))
            self._writer.write(b"".join(filter(None, parts)))
            while isinstance(event := await self._next(), h11.InformationalResponse):
                pass
            if not isinstance(event, h11.Response):
                raise _NoAnswerError
        except BaseException:
            self.close()
            raise
        return event

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def _next(self) -> object:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            received = await self._reader.read(_READ_BYTES)
            if not received and self._state.their_state is h11.SEND_RESPONSE:
                raise _NoAnswerError
            self._state.receive_data(received)
        return event


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        try:
            return await _open(host, port)
        except OSError as error:
            if error.errno is not None:
                raise
        # Of several addresses that all failed asyncio only gives the words: one alone tells why.
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return await _open(str(found[-1][4][0]), port)
    except OSError as error:
        raise _NoConnectionError(str(error)) from error


async def _open(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(host, port, limit=_BUFFER_BYTES, happy_eyeballs_delay=_SECOND_ADDRESS_S)


@contextmanager
def _translated() -> Iterator[None]:
    import httpx

    try:
        yield
    except _NoConnectionError as error:
        raise httpx.ConnectError(str(error)) from error
    except _NoAnswerError as error:
        raise httpx.RemoteProtocolError("it closed the connection before it answered") from error
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error
    except OSError as error:
        raise httpx.ReadError(str(error)) from error
