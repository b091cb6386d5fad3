"""HTTP to servers that are not the API server: every way in which they may answer wrongly, over a real socket."""

import asyncio
import gzip
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import pytest

from collectors.errors import (
    AbsentError,
    BadAnswerError,
    ConfigurationError,
    ForbiddenError,
    RefusedError,
    SourceError,
    ThrottledError,
    UnauthorizedError,
    UnreachableError,
)
from collectors.http import HttpReader, Tls, check_url, with_path
from collectors.urls import without_password
from tests.collectors.loopback import HANG, Loopback, http

PAGE = "<html><body>Please log in</body></html>"
WRONG: dict[str, tuple[bytes, type[SourceError], str]] = {
    "a web page": (http(PAGE, Content_Type="text/html; charset=utf-8"), BadAnswerError, "with a web page"),
    "elsewhere": (http("", "302 Found", Location="https://u:p@login.example/x"), BadAnswerError,
                  r"sends elsewhere \(302 to https://login.example/x\)"),
    "credentials": (http("who are you", "401 Unauthorized"), UnauthorizedError, "wants some .401.: who are you"),
    "forbidden": (http(PAGE, "403 Forbidden"), ForbiddenError, "forbids the verb GET .403.: a web page"),
    "not there": (http("404 page not found", "404 Not Found"), AbsentError, "404 page not found"),
    "refused": (http("bad_data", "400 Bad Request"), RefusedError, "answered 400: bad_data"),
    "throttled": (http("", "429 Too Many Requests"), ThrottledError, "asks to wait"),
    "broken": (http("oh\x1b[2J", "502 Bad Gateway"), UnreachableError, "answered 502: oh␛"),
    "too much": (http(b"x" * 3000), BadAnswerError, "more than 0.00195312 MiB"),
    "hanging": (HANG, UnreachableError, r"did not answer within 0.5 s"),
    "cut": (http("half", length=400), BadAnswerError, "breaks off in the middle"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", BadAnswerError, "does not answer in HTTP"),
    "nothing": (b"", BadAnswerError, "does not answer in HTTP"),
    "bad gzip": (http(b"not gzip", Content_Encoding="gzip"), BadAnswerError, "does not answer in HTTP"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_answers(case: str) -> None:
    answer, error, said = WRONG[case]
    async with Loopback({"/metrics": answer}) as server, HttpReader() as reader:
        with pytest.raises(error, match=said) as raised:
            deadline_s = 0.5 if answer is HANG else 10.0
            await reader.get(f"{server.url}/metrics", deadline_s=deadline_s, limit_bytes=2048)
    assert server.url in str(raised.value)


async def test_credentials_are_sent_and_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    (tmp_path / "token").write_text("abc.def\n")
    async with Loopback({"/m": http("fine")}) as server, HttpReader() as reader:
        url = server.url.replace("://", "://me:se%20cret@")
        assert await reader.get(f"{url}/m", {"q": "a b"}, deadline_s=5) == b"fine"
        assert await reader.get(f"{server.url}/m", deadline_s=5, token_file=tmp_path / "token") == b"fine"
        with pytest.raises(AbsentError) as raised:
            await reader.get(f"{url}/other", deadline_s=5)
    first, second, _ = server.asked
    assert first.headers["authorization"] == "Basic bWU6c2UgY3JldA=="
    assert first.headers["user-agent"].startswith("midwatch/")
    assert first.query == {"q": "a b"}
    assert second.headers["authorization"] == "Bearer abc.def"
    assert "cret" not in str(raised.value) + caplog.text


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe"])
async def test_a_token_file_that_holds_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(ConfigurationError, match="cannot read the token"):
        await HttpReader().get("http://127.0.0.1:1", deadline_s=1, token_file=path)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a token"):
        await HttpReader().get("http://127.0.0.1:1", deadline_s=1, token_file=path)


async def test_nobody_there() -> None:
    async with HttpReader() as reader:
        with pytest.raises(UnreachableError, match=r"cannot connect to http://127\.0\.0\.1:1: connection refused"):
            await reader.get("http://127.0.0.1:1", deadline_s=5)
        with pytest.raises(UnreachableError, match="cannot be resolved"):
            await reader.get("http://no-such-host.invalid", deadline_s=5)


async def test_a_name_with_several_addresses_none_of_which_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    of_all = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", 1)) for number in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_names: of_all)
    async with HttpReader() as reader:
        with pytest.raises(UnreachableError, match=r"cannot connect to http://both\.example:1: connection refused"):
            await reader.get("http://both.example:1", deadline_s=5)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RIGHT = {
    "in chunks": CHUNKED + b"2\r\nfi\r\n2;x=y\r\nne\r\n0\r\n\r\n",
    "until it closes": b"HTTP/1.0 200 OK\r\n\r\nfine",
    "after early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http("fine"),
    "gzipped": http(gzip.compress(b"fine"), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("case", RIGHT)
async def test_every_way_to_write_an_answer(case: str) -> None:
    async with Loopback({"/m": RIGHT[case]}) as server, HttpReader() as reader:
        assert await reader.get(f"{server.url}/m", deadline_s=5) == b"fine"


@pytest.mark.parametrize(
    ("pause_s", "error", "said"),
    [(0.0, BadAnswerError, "answered with more than"), (0.05, UnreachableError, r"did not answer within 0\.5 s")],
    ids=["fast", "a little at a time"],
)
async def test_an_answer_without_end_is_given_up(pause_s: float, error: type[SourceError], said: str) -> None:
    closed = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b"4\r\nmore\r\n")
            await asyncio.sleep(pause_s)
        writer.close()
        closed.set()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server, HttpReader() as reader:
        with pytest.raises(error, match=said):
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await reader.get(url, deadline_s=0.5 if pause_s else 30.0, limit_bytes=400)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_connection_that_is_reset_in_the_middle() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"4\r\nhalf\r\n")
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server, HttpReader() as reader:
        with pytest.raises(UnreachableError, match=r"failed: .*[Cc]onnection reset"):
            await reader.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", deadline_s=5)


@pytest.mark.parametrize("ends", ["answered", "too much", "cancelled"])
async def test_no_connection_is_left_open(ends: str) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        keep = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
        writer.write({"answered": keep, "too much": CHUNKED + b"fff\r\n" + b"x" * 4095, "cancelled": b""}[ends])
        await reader.read()
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, HttpReader() as reader:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if ends == "answered":
            assert await reader.get(url, deadline_s=5) == b"fine"
        else:
            with pytest.raises(SourceError):
                await reader.get(url, deadline_s=0.2 if ends == "cancelled" else 5, limit_bytes=100)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback({"/m": http("through the proxy")}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with HttpReader() as reader:
            assert await reader.get("http://exporter.example/m", deadline_s=5) == b"through the proxy"


def certificate(folder: Path) -> ssl.SSLContext:
    files = (str(folder / "key.pem"), str(folder / "cert.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", files[0], "-out", files[1],
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


async def test_tls_that_does_not_fit_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certificate(tmp_path)
    async with Loopback({"/m": http("fine")}, tls=context) as server:
        async with HttpReader() as reader:
            with pytest.raises(BadAnswerError, match=r"is not accepted: .*SSL_CERT_FILE"):
                await reader.get(f"{server.url}/m", deadline_s=5)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        async with HttpReader() as reader:
            assert await reader.get(f"{server.url.replace('127.0.0.1', 'localhost')}/m", deadline_s=5) == b"fine"
            with pytest.raises(BadAnswerError, match="is not accepted"):
                await reader.get(f"{server.url}/m", deadline_s=5)
    async with Loopback({"/m": http("fine")}) as server, HttpReader() as reader:
        with pytest.raises(BadAnswerError, match="should its URL begin with http://"):
            await reader.get(f"{server.url.replace('http', 'https')}/m", deadline_s=5)


async def test_a_handshake_that_hangs_leaves_no_connection_open() -> None:
    closed = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        closed.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server, HttpReader() as reader:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.2 s"):
            await reader.get(url, deadline_s=0.2)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_client_certificate_and_a_ca_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such servers are not asked through a proxy, and their statuses may be answers."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    context = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    answers = {"/m": http("fine"), "/h": http("sick", "503 Service Unavailable")}
    async with Loopback(answers, tls=context) as server, HttpReader() as reader:
        url = server.url.replace("127.0.0.1", "localhost")
        good, bad = Tls(trusting, "hint", "refused"), Tls(ssl.create_default_context(), "ask for the CA", "refused")
        assert await reader.get(f"{url}/m", deadline_s=5, tls=good) == b"fine"
        assert await reader.get(f"{url}/h", deadline_s=5, tls=good, answers=(200, 503)) == b"sick"
        with pytest.raises(BadAnswerError, match=r"is not accepted: .*; ask for the CA"):
            await reader.get(f"{url}/m", deadline_s=5, tls=bad)
        await reader.forget(good)
        assert await reader.get(f"{url}/m", deadline_s=5, tls=good) == b"fine", "opened again"


@pytest.mark.parametrize(
    "url",
    ["", "gpu-07:9400", "ftp://x", "http://", "http://x:port", "http://x:99999", "http://x y", "http://[::1", "x\n"],
)
def test_urls_that_cannot_be_asked(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--dcgm .*: not a URL"):
        check_url(url, "--dcgm")


def test_urls() -> None:
    assert check_url("https://u:p@x:9400/a", "--dcgm") == "https://u:p@x:9400/a"
    assert without_password("https://u:p@x:9400/a@b") == "https://x:9400/a@b"
    assert without_password("u:p@x:9400/a") == "x:9400/a"
    assert without_password("http://u:1/2@proxy:3128") == "http://…@proxy:3128"
    assert without_password("http://h:1/path@v1/metrics") == "http://…@v1/metrics"
    assert without_password("") == ""
    assert with_path("http://x/prom/", "/api") == "http://x/prom/api"
