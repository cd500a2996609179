"""The client against a real server: replies, their bounds, and what goes wrong."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys

import pytest

from drivers.net.http import HttpClient, NoConnection, TooLate, authorization
from drivers.net.http_connection import MAX_REPLY_BYTES, HttpReply
from tests.drivers.net.http_server import http_server, reply
from tests.serving import serving


async def asked(
    url: str, path: str = "/data", within_s: float = 20.0, token: str = ""
) -> HttpReply:
    headers, secrets = authorization({"token": token} if token else {})
    client = HttpClient(url)
    try:
        return await client.request("GET", path, within_s, headers=headers, secrets=secrets)
    finally:
        await client.aclose()


async def test_a_reply_is_given_as_it_came_whatever_its_status() -> None:
    async with http_server({"/data": reply(b'{"a": 1}')}) as server:
        url = f"http://127.0.0.1:{server.port}/"
        found = await asked(url)
        assert (found.status, found.body, found.complete) == (200, b'{"a": 1}', True)
        assert (await asked(url, "/else")).status == 404
    [first, _] = server.heads
    assert first.startswith("GET /data HTTP/1.1\r\n")
    assert "\r\nUser-Agent: meter-gateway\r\n" in first


async def test_a_reply_that_never_ends_is_cut() -> None:
    endless = reply(b"x" * (3 * MAX_REPLY_BYTES))
    whole = reply(b"x" * MAX_REPLY_BYTES)
    async with http_server({"/data": endless, "/whole": whole}) as server:
        found = await asked(f"http://127.0.0.1:{server.port}")
        assert (len(found.body), found.complete) == (MAX_REPLY_BYTES, False)
        found = await asked(f"http://127.0.0.1:{server.port}", "/whole")
        assert (len(found.body), found.complete) == (MAX_REPLY_BYTES, True)


async def test_a_secret_that_the_server_sends_back_is_not_in_the_reply() -> None:
    async with http_server({"/data": lambda head: reply(head.encode())}) as server:
        found = await asked(f"http://127.0.0.1:{server.port}", token="abc.def")
    assert "Authorization: Bearer abc.def" in server.heads[0]
    assert b"Bearer (secret)" in found.body
    assert b"abc.def" not in found.body


async def test_neither_is_it_in_headers_nor_in_what_is_said_of_a_reply_that_is_none() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /?t=abc.def\r\nContent-Length: 0\r\n\r\n"
    # The client's own words end in the middle of the secret: it is looked for before.
    broken = b"HTTP/1.1 200 OK\r\n" + b"x" * 262 + b"abc.def\x00\r\n\r\n"
    async with http_server({"/data": moved, "/broken": broken}) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert (await asked(url, token="abc.def")).headers["location"] == "/?t=(secret)"
        with pytest.raises(NoConnection, match="illegal header line") as failed:
            await asked(url, "/broken", token="abc.def")
    assert "abc" not in str(failed.value)


async def test_silence_ends_at_the_deadline() -> None:
    async with http_server({"/data": None}) as server:
        with pytest.raises(TooLate, match=r"did not answer within 0\.2 s"):
            await asked(f"http://127.0.0.1:{server.port}", within_s=0.2)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-dropbear\r\n", b"HTTP/1.1 200 OK\r\nContent-L"])
async def test_what_is_no_reply_says_so(answer: bytes) -> None:
    async with http_server({"/data": answer}) as server:
        with pytest.raises(NoConnection, match=r"^http://127\.0\.0\.1:\d+ cannot be reached: \w"):
            await asked(f"http://127.0.0.1:{server.port}")


async def test_nobody_there_says_why() -> None:
    async with http_server({}) as server:
        port = server.port
    with pytest.raises(NoConnection, match="cannot be reached: Connection refused"):
        await asked(f"http://127.0.0.1:{port}")


async def test_a_server_that_does_not_speak_tls_says_so() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"plain words", "400 Bad Request"))

    async with serving(serve) as port:
        with pytest.raises(NoConnection, match=r"https://localhost:\d+ cannot be reached: .*SSL"):
            await asked(f"https://localhost:{port}")


@pytest.mark.parametrize("resets", [False, True])
async def test_a_server_that_says_nothing_and_never_did_may_speak_tls(resets: bool) -> None:
    answers = iter([b"", reply(b"{}"), b""])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer := next(answers):
            writer.write(answer)
        elif resets:
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    async with serving(serve) as port:
        client = HttpClient(f"http://127.0.0.1:{port}")
        with pytest.raises(NoConnection, match=r"does it speak TLS there \(https://\)\?"):
            await client.request("GET", "/", 20.0)
        assert (await client.request("GET", "/", 20.0)).body == b"{}"
        with pytest.raises(NoConnection) as caught:
            await client.request("GET", "/", 20.0)
        assert "TLS" not in str(caught.value), "it has answered in clear before"
        await client.aclose()


async def test_a_connection_may_be_kept_for_the_next_request() -> None:
    ended: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        ended.append(True)

    async with serving(serve) as port:
        for keepalive_s, expected in ((30.0, 1), (0.0, 3)):
            client = HttpClient(f"http://127.0.0.1:{port}", keepalive_s=keepalive_s)
            ended.clear()
            for _ in range(3):
                assert (await client.request("GET", "/", 20.0)).body == b"{}"
            await client.aclose()
            async with asyncio.timeout(20):
                while len(ended) < expected:
                    await asyncio.sleep(0.001)
            assert len(ended) == expected


def test_credentials_become_a_header_and_are_secrets() -> None:
    assert authorization({}) == ({}, ())
    assert authorization({"token": "abc"}) == ({"Authorization": "Bearer abc"}, ("abc",))
    header, secrets = authorization({"username": "Aladdin", "password": "open sesame"})
    assert header == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}
    assert secrets == ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame")


def test_httpx_is_not_there_until_somebody_asks() -> None:
    code = (
        "import os, sys, drivers.net.http, drivers.net.mqtt, drivers.line\n"
        "drivers.net.http.HttpClient('https://127.0.0.1', trust_env=True)\n"
        "assert not {'httpx', 'paho', 'paho.mqtt', 'certifi', 'email'} & set(sys.modules)\n"
        "os.environ['https_proxy'] = 'http://127.0.0.1:9'\n"
        "drivers.net.http.HttpClient('https://127.0.0.1', trust_env=True)\n"
        "assert 'httpx' not in sys.modules\n"
        "import drivers.net.http_by_httpx\n"
        "assert 'httpx' in sys.modules and 'rich' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
