"""The logged-in session, against the stand-in exchange over real sockets."""

import asyncio
import json
import logging
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from uuid import UUID

import httpx
import pytest

from drivers.net.http_connection import MAX_REPLY_BYTES
from drivers.net.masking import SecretsInUse
from drivers.strict_yaml import Problem
from gateway.delivery.http_session import (
    NO_WITNESS,
    ClocksDiffer,
    LoginFailed,
    LoginRefused,
    NotAllowed,
    Session,
    Unreachable,
)
from gateway.delivery.simulated.exchange import LOGIN
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.outbox.http_replies import refusal
from gateway.site.credentials import ConfigError, Credentials
from tests.serving import serving

NETWORK = UUID("8a2c0f5e-93a1-4a5e-b5f5-0c7f2f1d3f10")
ASSET = UUID("26090dea-0000-4000-8000-000000000001")
PATH = f"external-connection/api/{NETWORK}/{ASSET}/set_energy_forecast/"
BODY = {"energy_Wh": 12.5}
RIGHT = Credentials("gateway", "let-me-in")


@pytest.fixture
async def exchange() -> AsyncIterator[StandInExchange]:
    async with StandInExchange(NETWORK, {ASSET: "Load"}) as standing_in:
        yield standing_in


@asynccontextmanager
async def server_saying(raw: bytes | Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """A server that answers every request with these bytes and closes; its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(raw if isinstance(raw, bytes) else raw(head))

    async with serving(answer) as port:
        yield f"http://127.0.0.1:{port}"


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


TOKEN = http("200 OK", b'{"token": "abc.def.ghi"}')


@pytest.mark.parametrize("key", ["token", "access"])
async def test_it_logs_in_once_and_sends_with_the_token(
    exchange: StandInExchange, key: str
) -> None:
    exchange.tokens.keys = (key,)
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        replies = [await session.post(PATH, BODY) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert exchange.logins == 1
    assert list(exchange.books.undated[ASSET].values()) == [12_500_000]


async def test_a_token_the_exchange_forgot_costs_one_new_login(exchange: StandInExchange) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        await session.post(PATH, BODY)
        exchange.revoke_tokens()
        reply = await session.post(PATH, BODY)
    assert reply.status == 200
    assert exchange.logins == 2
    assert exchange.requests == {200: 2, 401: 1}


@pytest.mark.parametrize("status", [401, 403])
async def test_what_the_user_may_not_do_costs_one_new_login_and_no_more(
    exchange: StandInExchange, status: int
) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        exchange.mode("status", status=status, where=str(ASSET))
        for _ in range(3):
            with pytest.raises(NotAllowed, match="give this user the right"):
                await session.post(PATH, BODY)
    assert exchange.logins == 2
    assert exchange.requests == {status: 4}


async def test_an_exchange_that_takes_no_token_at_all_is_not_hammered_with_logins(
    exchange: StandInExchange,
) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        exchange.mode("unauthorized")
        for n in range(10):
            with pytest.raises(NotAllowed):
                await session.post(f"{PATH}?{n}", BODY)
        assert exchange.logins == 2
        exchange.mode("ok")
        assert (await session.post(PATH, BODY)).status == 200
        exchange.revoke_tokens()
        assert (await session.post(PATH, BODY)).status == 200
    assert exchange.logins == 3, "one that was taken is worth renewing"


async def test_a_password_that_is_changed_while_it_runs_costs_one_refused_login(
    exchange: StandInExchange,
) -> None:
    credentials = RIGHT
    async with Session(exchange.url, lambda: credentials, 5) as session:
        await session.post(PATH, BODY)
        exchange.password = "changed"
        exchange.revoke_tokens()
        for _ in range(3):
            with pytest.raises(LoginRefused):
                await session.post(PATH, BODY)
        assert exchange.logins == 2
        credentials = Credentials("gateway", "changed")
        assert (await session.post(PATH, BODY)).status == 200


async def test_a_login_that_is_throttled_says_for_how_long(exchange: StandInExchange) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        exchange.mode("status", status=429, retry_after_s=77, times=1, where=LOGIN)
        with pytest.raises(LoginFailed, match="429") as failed:
            await session.post(PATH, BODY)
    assert failed.value.retry_after_s == 77


async def test_what_is_held_is_asked_for_with_the_same_token_and_never_costs_a_new_one(
    exchange: StandInExchange,
) -> None:
    path = f"historical-data/assets/{NETWORK}/{ASSET}/2026-03-29T01:00/2026-03-29T01:15"
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        reply = await session.get(path)
        assert (reply.status, reply.body) == (200, b"[]")
        exchange.revoke_tokens()
        with pytest.raises(NotAllowed, match="right to read"):
            await session.get(path)
        assert exchange.logins == 1
        assert (await session.post(PATH, BODY)).status == 200
        assert (await session.get(path)).status == 200
    assert exchange.logins == 2


@pytest.mark.parametrize("path", [PATH, "api-token-auth/"])
async def test_an_answer_that_breaks_off_in_the_middle_is_none(
    exchange: StandInExchange, path: str
) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        exchange.mode("partial", times=1, where=path)
        with pytest.raises(Unreachable, match="cannot be reached"):
            await session.post(PATH, BODY)
        assert (await session.post(PATH, BODY)).status == 200


async def test_a_wrong_password_is_sent_once_until_it_changes(exchange: StandInExchange) -> None:
    credentials = Credentials("gateway", "hunter2-wrong")
    async with Session(exchange.url, lambda: credentials, 5) as session:
        for _ in range(3):
            with pytest.raises(LoginRefused, match="correct the credentials file") as refused:
                await session.post(PATH, BODY)
            assert "hunter2" not in str(refused.value)
        assert exchange.logins == 1
        credentials = RIGHT
        assert (await session.post(PATH, BODY)).status == 200
    assert exchange.logins == 2


async def test_credentials_that_cannot_be_read_are_named_and_not_quoted(
    exchange: StandInExchange,
) -> None:
    def unreadable() -> Credentials:
        raise ConfigError(
            [
                Problem(
                    "/etc/x.credentials",
                    2,
                    "password",
                    "expected text, found 12345",
                    'put it in quotes: "12345"',
                )
            ]
        )

    async with Session(exchange.url, unreadable, 5) as session:
        with pytest.raises(LoginRefused, match=r"/etc/x\.credentials") as refused:
            await session.post(PATH, BODY)
    assert "12345" not in str(refused.value)
    assert exchange.logins == 0


async def test_a_login_page_that_gives_no_token_is_no_refusal(exchange: StandInExchange) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        exchange.mode("html", times=1)
        with pytest.raises(LoginFailed, match="login page of the network"):
            await session.post(PATH, BODY)
        exchange.mode("status", status=503, retry_after_s=9, times=1)
        with pytest.raises(LoginFailed, match="503") as failed:
            await session.post(PATH, BODY)
        assert failed.value.retry_after_s == 9
        assert (await session.post(PATH, BODY)).status == 200


async def test_nothing_secret_reaches_logs_or_representations(
    exchange: StandInExchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        await session.post(PATH, BODY)
        shown = repr(session) + str(session)
    assert RIGHT.password not in shown + caplog.text
    assert "JWT" not in caplog.text


async def test_what_an_exchange_repeats_is_masked_and_the_same_token_twice_is_one() -> None:
    """Some servers give the same token at each login, and it is in use by then."""
    heard: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request.content.decode() + request.headers.get("authorization", ""))
        data, status = {"token": "t0k.abcdef"}, 200
        if not request.url.path.endswith(LOGIN):
            data, status = {"detail": " ".join(heard)}, 401 if len(heard) < 4 else 500
        return httpx.Response(status, stream=httpx.ByteStream(json.dumps(data).encode()))

    secrets, transport = SecretsInUse(), httpx.MockTransport(answer)
    session = Session("http://x", lambda: RIGHT, 5, secrets=secrets, transport=transport)
    async with session:
        reply = await session.post(PATH, BODY)
    assert reply.status == 500
    assert "t0k.abcdef" in reply.body.decode()
    assert RIGHT.password in reply.body.decode(), "it is judged as it came"
    said = refusal(reply)
    assert '"password": "(secret)"' in said
    assert "JWT (secret)" in said
    assert "t0k" not in said
    assert RIGHT.password not in said + secrets.masked(f"a bug: {RIGHT!s} {RIGHT.password}")


async def test_a_refused_connection_is_said_in_words() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with Session(url, lambda: RIGHT, 5) as session:
            with pytest.raises(Unreachable, match="Connection refused"):
                await session.post(PATH, BODY)


async def test_a_dropped_connection_is_unreachable_and_the_next_request_gets_a_new_one(
    exchange: StandInExchange,
) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        await session.post(PATH, BODY)
        exchange.mode("drop_after_accept", times=1)
        with pytest.raises(Unreachable, match="cannot be reached"):
            await session.post(PATH, BODY)
        assert (await session.post(PATH, BODY)).status == 200
    assert exchange.logins == 1


async def test_a_silent_exchange_is_given_up_after_the_timeout_or_earlier_where_asked(
    exchange: StandInExchange,
) -> None:
    async with Session(exchange.url, lambda: RIGHT, 0.2) as session:
        exchange.mode("slow", seconds=60)
        with pytest.raises(Unreachable, match=r"within 0\.2 s"):
            await session.post(PATH, BODY)
        with pytest.raises(Unreachable, match=r"within 0\.0[45]\d* s"):
            await session.post(PATH, BODY, 0.05)
        with pytest.raises(Unreachable, match="no time left"):
            await session.post(PATH, BODY, 0)


async def test_the_server_of_a_closed_keepalive_connection_is_called_again(
    exchange: StandInExchange,
) -> None:
    async with Session(exchange.url, lambda: RIGHT, 5) as session:
        await session.post(PATH, BODY)
        exchange.mode("down")
        exchange.mode("ok")
        await asyncio.sleep(0.05)
        assert (await session.post(PATH, BODY)).status == 200


def by_path(login: bytes, rest: bytes) -> Callable[[bytes], bytes]:
    return lambda head: login if b"api-token-auth" in head else rest


async def test_a_redirect_is_reported_and_not_followed() -> None:
    async with (
        server_saying(
            by_path(TOKEN, http("302 Found", b"", "Location: http://127.0.0.1:9/elsewhere"))
        ) as url,
        Session(url, lambda: RIGHT, 5) as session,
    ):
        reply = await session.post(PATH, BODY)
    assert (reply.status, reply.headers["location"]) == (302, "http://127.0.0.1:9/elsewhere")


async def test_an_endless_reply_is_read_only_so_far() -> None:
    async with (
        server_saying(by_path(TOKEN, http("200 OK", b" " * 10 * MAX_REPLY_BYTES))) as url,
        Session(url, lambda: RIGHT, 5) as session,
    ):
        assert len((await session.post(PATH, BODY)).body) == MAX_REPLY_BYTES


@pytest.mark.parametrize(
    "token", [b'{"token": "a\\r\\nX-Evil: 1"}', b'{"token": 5}', b'{"token": ""}', b"[]", b"{}"]
)
async def test_a_token_that_is_none_is_not_used(token: bytes) -> None:
    async with (
        server_saying(http("200 OK", token)) as url,
        Session(url, lambda: RIGHT, 5) as session,
    ):
        with pytest.raises(LoginFailed, match="without a token"):
            await session.post(PATH, BODY)


@pytest.mark.parametrize(
    "raw",
    [b"\x00\x01\x02 SSH-2.0\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"],
)
async def test_what_is_not_http_is_unreachable(raw: bytes) -> None:
    async with server_saying(raw) as url, Session(url, lambda: RIGHT, 5) as session:
        with pytest.raises(Unreachable, match=r"cannot be reached: ."):
            await session.post(PATH, BODY)


async def test_cookies_are_not_kept() -> None:
    heads: list[bytes] = []

    def say(head: bytes) -> bytes:
        heads.append(head)
        return http("200 OK", b'{"token": "abc"}', "Set-Cookie: sessionid=1; Path=/")

    async with server_saying(say) as url, Session(url, lambda: RIGHT, 5) as session:
        await session.post(PATH, BODY)
        await session.post(PATH, BODY)
    assert len(heads) == 3
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_a_certificate_that_nobody_signed_is_refused(
    tmp_path_factory: pytest.TempPathFactory, required_tool: Callable[[str], str]
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    making = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "
        f"/CN=localhost -keyout {key} -out {certificate}"
    )
    subprocess.run([required_tool("openssl"), *making.split()], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("no request may get this far")

    async with (
        serving(never, tls=context) as port,
        Session(f"https://localhost:{port}", lambda: RIGHT, 5) as session,
    ):
        with pytest.raises(Unreachable, match="certificate is not valid"):
            await session.post(PATH, BODY)


def test_the_session_brings_no_client_that_is_made_for_a_desk() -> None:
    code = (
        "import sys; from gateway.delivery.http_session import Session; Session('https://x', "
        "lambda: 0, 1);"
        "assert not {'httpx', 'rich', 'click', 'trio'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


async def test_a_server_that_shows_what_it_was_sent_gives_no_token_away() -> None:
    def echo(head: bytes) -> bytes:
        return TOKEN if LOGIN.encode() in head else http("401 Unauthorized", head)

    async with server_saying(echo) as url, Session(url, lambda: RIGHT, 5) as session:
        with pytest.raises(NotAllowed) as refused:
            await session.post(PATH, BODY)
    assert "abc.def.ghi" not in str(refused.value)


async def test_a_reply_that_is_no_http_gives_no_token_away() -> None:
    async with (
        server_saying(lambda head: TOKEN if LOGIN.encode() in head else head) as url,
        Session(url, lambda: RIGHT, 5) as session,
    ):
        with pytest.raises(Unreachable) as lost:
            await session.post(PATH, BODY)
    assert "abc.def.ghi" not in str(lost.value)


async def test_nothing_is_sent_while_the_clocks_differ(exchange: StandInExchange) -> None:
    ours = [exchange.now() + 86_400]
    session = Session(exchange.url, lambda: RIGHT, 20.0, now=lambda: ours[0])
    async with session:
        with pytest.raises(ClocksDiffer, match=r"24\.0 h ahead of the exchange's.*set-time"):
            await session.log_in()
        with pytest.raises(ClocksDiffer):
            await session.post(PATH, BODY)
        assert exchange.requests.total() == 0, "nothing but the login"

        ours[0] -= 86_400
        assert (await session.post(PATH, BODY)).status == 200
        assert exchange.logins == 1


async def test_a_refusal_by_a_clock_that_is_wrong_is_nobodys_word_for_the_time() -> None:
    """Whatever is on the way may say 429."""
    busy = http("429 Too Many Requests", b"", f"Date: {formatdate(9_999_999_999, usegmt=True)}")
    async with (
        server_saying(by_path(TOKEN, busy)) as url,
        Session(url, lambda: RIGHT, 5, now=time.time) as session,
    ):
        for _ in range(2):
            assert (await session.post(PATH, BODY)).status == 429


async def test_a_difference_that_is_theirs_is_over_when_they_have_mended_it(
    exchange: StandInExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.their_clock.HOLDS_S", 0.0)
    right = exchange.now
    exchange.now = lambda: right() - 7200
    async with Session(exchange.url, lambda: RIGHT, 20.0, now=right) as session:
        with pytest.raises(ClocksDiffer, match=r"2\.0 h ahead"):
            await session.log_in()
        exchange.now = right
        assert (await session.post(PATH, BODY)).status == 200


async def test_an_exchange_that_does_not_say_the_time_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def undated(head: bytes) -> bytes:
        return TOKEN if LOGIN.encode() in head else http("200 OK", b'{"result": 1}')

    async with server_saying(undated) as url:
        async with Session(url, lambda: RIGHT, 5, now=lambda: 1.0) as session:
            await session.post(PATH, BODY)
            await session.post(PATH, BODY)
            assert session.lacks_witness
        assert [NO_WITNESS in text for text in caplog.messages] == [True]

        async with Session(url, lambda: RIGHT, 5) as session:
            await session.post(PATH, BODY)
            assert not session.lacks_witness, "a time server answers for ours"
