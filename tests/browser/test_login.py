"""Beyond this machine: who is let in, and how; and the page where a web server has put it."""

import contextlib
import http.client
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from selenium.webdriver.common.by import By

from tests.browser.looking import DESK, PHONE, Browser
from tests.browser.serving import Served
from tests.browser.told import Told
from tests.gateway.page import sample_answers as sample

pytestmark = pytest.mark.xdist_group("browser")

TOKEN = "Qm9vLi4uIGEgdG9rZW4"


@pytest.fixture
def tokens() -> list[str]:
    return [TOKEN]


@pytest.fixture
def guarded(tokens: list[str]) -> Iterator[Served]:
    serving = Served(Told(), host="0.0.0.0", token=lambda: tokens[0])
    serving.start()
    yield serving
    serving.stop()


def log_in(browser: Browser, token: str) -> None:
    field = browser.driver.find_element(By.ID, "token")
    field.clear()
    field.send_keys(token)
    field.submit()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_browser_logs_in_once_and_the_token_is_in_no_address_and_no_page(
    guarded: Served, tokens: list[str], browser: Browser, size: tuple[int, int]
) -> None:
    browser.size(*size)
    browser.open(f"{guarded.url}/meters")
    assert "Our house" not in browser.text
    assert "asks for its token" in browser.text
    found = browser.audit()
    assert (found["faint"], found["h1"], found["nameless"]) == ([], 1, 0)

    log_in(browser, "wrong")
    browser.wait(lambda: "That is not the token." in browser.text, 10)
    log_in(browser, TOKEN)
    browser.wait(lambda: "All is well" in browser.text, 10)
    cookie = browser.driver.get_cookie("meter-gateway")
    assert cookie is not None
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in cookie["value"]
    browser.open(f"{guarded.url}/meters")
    assert "Meters" in browser.text
    asked = browser.requests()
    assert not any(TOKEN in url for _, url in asked)
    assert {method for method, url in asked if not url.endswith("/login")} == {"GET"}
    assert TOKEN not in browser.driver.page_source

    tokens[0] = "another" * 3
    browser.open(guarded.url)
    assert "asks for its token" in browser.text, "a new token ends every login"


def test_logging_out_is_out(guarded: Served, browser: Browser) -> None:
    browser.open(guarded.url)
    log_in(browser, TOKEN)
    browser.wait(lambda: "Log out" in browser.text, 10)
    browser.driver.find_element(By.LINK_TEXT, "Log out").click()
    browser.wait(lambda: "asks for its token" in browser.text, 10)
    assert browser.driver.get_cookie("meter-gateway") is None


def test_five_wrong_tokens_a_minute(guarded: Served, browser: Browser) -> None:
    browser.open(guarded.url)
    for n in range(5):
        log_in(browser, f"wrong {n}")
        browser.wait(lambda: "That is not the token." in browser.text, 10)
    log_in(browser, TOKEN)
    browser.wait(lambda: "Too many wrong tokens" in browser.text, 10)


class _Proxy(BaseHTTPRequestHandler):
    """A web server that has the page below /meter, and nothing else."""

    to_port = 0
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if not self.path.startswith("/meter"):
            self.send_error(404)
            return
        path = "/" + self.path.removeprefix("/meter").removeprefix("/")
        host = f"127.0.0.1:{self.to_port}"
        connection = http.client.HTTPConnection(host, timeout=20)
        names = ("accept", "accept-encoding", "accept-language")
        passed = {name: self.headers[name] for name in names if name in self.headers}
        connection.request("GET", path, headers={"Host": host, **passed})
        answer = connection.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date"):
                self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while part := answer.read1(65536):
                self.wfile.write(part)
                self.wfile.flush()
        connection.close()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.mark.parametrize("at", ["/meter/", "/meter"])
def test_the_page_works_below_a_prefix(served: Served, browser: Browser, at: str) -> None:
    asked: list[str] = []
    about = {"to_port": int(served.url.rpartition(":")[2]), "asked": asked}
    handler = type("Handler", (_Proxy,), about)
    socketserver.ThreadingTCPServer.daemon_threads = True
    socketserver.ThreadingTCPServer.block_on_close = False
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        browser.open(url + at)
        browser.wait(lambda: "All is well" in browser.text, 10)
        browser.wait(lambda: served.streams == 1, 10, "the stream comes through")
        for words in ("Days", "Meters", "grid", "Exchange", "Events", "Help", "Technical"):
            browser.driver.find_element(By.LINK_TEXT, words).click()
            browser.wait(lambda: len(browser.of("h1")) == 1, 10)
            assert "There is no such page" not in browser.text, words
            font = browser.run(
                "return getComputedStyle(document.querySelector('.site')).fontWeight"
            )
            assert font == "700", "the style is found"
        browser.open(f"{url}/meter/slots/{sample.HOUSE}/{sample.SLOT_S}")
        assert "Why is it 312 Wh?" in browser.text
        proxy.shutdown()
    beside = [target for target in asked if not target.startswith("/meter")]
    # A browser looks ahead for style and script before it is led to where there is a slash.
    assert all(target.startswith("/static/") for target in beside)
    assert not beside or at == "/meter"
    assert not browser.complaints() or at == "/meter"
