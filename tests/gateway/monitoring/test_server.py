"""The status server over real sockets: what it serves, and that nobody can flood it or hold it
up.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from gateway.monitoring import server as server_module
from gateway.monitoring.report import Report
from gateway.monitoring.server import MAX_CONNECTIONS, REUSE_S, StatusServer
from gateway.site.settings import StatusSettings


@pytest.fixture
async def server(healthy_report: Report) -> AsyncIterator[StatusServer]:
    server = StatusServer(StatusSettings(port=0), lambda: healthy_report)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    yield server
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ask(server: StatusServer, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """The reply to these bytes: status, headers in lower case, body."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(raw)
    reply = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    head, _, body = reply.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return (
        int(status.split()[1]),
        {k.lower(): v for k, _, v in (line.partition(": ") for line in headers)},
        body,
    )


async def get(
    server: StatusServer, path: str, host: str = "localhost", method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    return await ask(server, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


async def test_each_address_serves_what_it_promises(
    server: StatusServer, healthy_report: Report
) -> None:
    status, headers, body = await get(server, "/status?x=1")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert Report.from_json(body) == healthy_report
    status, headers, body = await get(server, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"meter_gateway_healthy 1\n" in body
    assert (await get(server, "/healthz"))[::2] == (200, b"ok\n")


async def test_every_answer_forbids_what_it_does_not_need(server: StatusServer) -> None:
    for path in ("/", "/status", "/nothing"):
        _, headers, _ = await get(server, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]


async def test_healthz_fails_with_the_reasons_once_a_part_had_no_recent_success(
    healthy_report: Report,
) -> None:
    old = replace(
        healthy_report.meters[0], state="silent", last_success_s=1.0, last_error="no reply"
    )
    server = StatusServer(StatusSettings(port=0), lambda: replace(healthy_report, meters=[old]))
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    assert (await get(server, "/healthz"))[::2] == (503, b"grid: silent (no reply)\n")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_head_sends_the_head_only(server: StatusServer) -> None:
    status, headers, body = await get(server, "/status", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(server: StatusServer, method: str) -> None:
    status, headers, _ = await get(server, "/status", method=method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_an_unknown_path_says_what_there_is(server: StatusServer) -> None:
    status, _, body = await get(server, "/../etc/passwd")
    assert status == 404
    assert b"/healthz" in body


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "192.168.1.5",
        "",
        "127.0.0.1.nip.io",
    ],
)
async def test_a_foreign_name_for_localhost_reads_nothing(server: StatusServer, host: str) -> None:
    status, _, body = await get(server, "/status", host)
    assert status == 421
    assert b"home-12" not in body


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "127.0.0.53", "localhost."]
)
async def test_localhost_by_any_of_its_names_is_answered(server: StatusServer, host: str) -> None:
    assert (await get(server, "/status", host))[0] == 200


async def test_requests_in_other_forms_than_the_usual_one_are_answered(
    server: StatusServer,
) -> None:
    # RFC 9112, section 3.2.2: a target in absolute form goes before the Host header.
    whole = b"GET http://localhost:8080/status?x=1 HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    assert (await ask(server, whole))[0] == 200
    whole = b"GET HTTP://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await ask(server, whole))[0] == 421
    assert (await ask(server, b"GET http://[::1]/status HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
    # Section 3.2: HTTP/1.0 need not say whom it asks; HTTP/1.1 must, and once.
    assert (await ask(server, b"GET /status HTTP/1.0\r\n\r\n"))[0] == 200
    assert (await ask(server, b"GET /status HTTP/1.0\r\nHost: evil.example\r\n\r\n"))[0] == 421
    assert (await ask(server, b"GET /status HTTP/1.1\r\n\r\n"))[0] == 400
    twice = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
    assert (await ask(server, twice))[0] == 400


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n" + b"a" * 50, 405),
    ],
)
async def test_what_is_not_a_request_is_refused(
    server: StatusServer, raw: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await ask(server, raw))[0] == status
    assert caplog.records == [], "foreign bytes do not fill the log"


@pytest.mark.parametrize("said", [b"", b"GET /status HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n\r\n"])
async def test_clients_that_dawdle_keep_nobody_out(
    said: bytes, server: StatusServer, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(server.url.rpartition(":")[2])
    dawdling = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
    for _, writer in dawdling:
        writer.write(said)
    await asyncio.sleep(0.1)
    assert (await get(server, "/status"))[0] == 200
    for _, writer in dawdling:
        writer.close()
    assert caplog.records == []


async def test_who_does_not_send_a_request_is_cut_off(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_S", 0.1)
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /status HTTP/1.1\r\n")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(server: StatusServer) -> None:
    for raw in (b"", b"GET /sta", b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(
            ("127.0.0.1", int(server.url.rpartition(":")[2]))
        ) as impatient:
            impatient.sendall(raw)
    assert (await get(server, "/healthz"))[0] == 200


def logged_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


async def test_a_busy_port_is_named_once_and_taken_when_it_is_free(
    healthy_report: Report, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "_RETRY_S", (0.01, 0.02))
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        server = StatusServer(StatusSettings(port=port), lambda: healthy_report)
        task = asyncio.create_task(server.run())
        async with asyncio.timeout(20):
            while not (errors := logged_errors(caplog)):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert logged_errors(caplog) == errors
        assert len(errors) == 1
        assert f"port {port}" in errors[0]
        assert "gateway.yaml" in errors[0]
        assert not server.listening.is_set()
    await asyncio.wait_for(server.listening.wait(), 10)
    assert (await get(server, "/healthz"))[0] == 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_bug_in_the_report_ends_the_server_loudly() -> None:
    def broken() -> Report:
        raise RuntimeError("a bug")

    server = StatusServer(StatusSettings(port=0), broken)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(task, 10)
    writer.close()


async def test_who_asks_all_the_time_is_told_the_last_report_again(healthy_report: Report) -> None:
    made = 0

    def report() -> Report:
        nonlocal made
        made += 1
        return healthy_report

    server = StatusServer(StatusSettings(port=0), report)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    began_s = asyncio.get_running_loop().time()
    for _ in range(100):
        for path in ("/status", "/healthz"):
            assert (await get(server, path))[0] == 200
    took_s = asyncio.get_running_loop().time() - began_s
    assert 2 <= made <= 2 * (took_s / REUSE_S + 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
