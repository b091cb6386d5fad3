"""A server on loopback that answers in whatever way a test wants, right or wrong."""

import asyncio
import ssl
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

HANG: Final = b"hang"
"""Instead of an answer, or after it: take the request and say nothing (more)."""


class Asked(NamedTuple):
    """One request that came in."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


def http(body: bytes | str, status: str = "200 OK", *, length: int | None = None, **headers: str) -> bytes:
    """Return an HTTP answer; `length` is what it claims to have."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + content


class Loopback:
    """Serves `answers` by path; everything else is not there."""

    def __init__(self, answers: dict[str, bytes] | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[Asked] = []
        self.at_once = 0
        """The most requests that were open at the same time."""
        self.url = ""
        self._open = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._hanging: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._hanging:
            writer.close()
        await self._server.wait_closed()

    def answer(self, asked: Asked) -> bytes:
        """Return what to send for a request."""
        return self.answers.get(asked.path, http("404 page not found\n", "404 Not Found"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.at_once = max(self.at_once, self._open)
        self._hanging.add(writer)
        try:
            begin = await reader.readexactly(1)
            if begin == b"\x16":  # a TLS client: answered as servers without TLS do
                writer.write(http("client sent TLS", "400 Bad Request"))
                return
            head = (begin + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            target = urlsplit(head[0].split()[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            asked = Asked(target.path, {name: values[0] for name, values in parse_qs(target.query).items()}, headers)
            self.asked.append(asked)
            answer = self.answer(asked)
            if answer.endswith(HANG):
                writer.write(answer.removesuffix(HANG))
                await reader.read()
                return
            await asyncio.sleep(0)
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open -= 1
            self._hanging.discard(writer)
            writer.close()
