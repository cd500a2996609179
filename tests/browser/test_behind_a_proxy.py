"""The page where a web server has put it somewhere else, and where it asks for a token."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from gateway.monitoring.report import Report
from gateway.monitoring.server import StatusServer
from gateway.site.page_access import ListenHost
from gateway.site.settings import StatusSettings

TOKEN = "Qm9vLi4uIGEgdG9rZW4"


@contextlib.asynccontextmanager
async def page(
    report: Report, host: str = "127.0.0.1", token: Callable[[], str | None] = lambda: None
) -> AsyncIterator[int]:
    """The real server's port."""
    settings = StatusSettings(host=ListenHost(host), port=0)
    server = StatusServer(settings, lambda: report, token)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        yield int(server.url.rpartition(":")[2])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def proxy(prefix: str, to_port: int, asked: list[str]) -> AsyncIterator[int]:
    """A web server that has the page below a prefix, and nothing else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            asked.append(target)
            writer.write(await answer(target))
            writer.close()
            await writer.wait_closed()
        except (EOFError, OSError):
            pass  # the browser connected in advance, and did not need it
        finally:
            writer.transport.abort()

    async def answer(target: str) -> bytes:
        if not target.startswith(prefix):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        path = "/" + target.removeprefix(prefix).removeprefix("/")
        reader, writer = await asyncio.open_connection("127.0.0.1", to_port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{to_port}\r\n\r\n".encode())
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
        return found

    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def shown(chromium: webdriver.Chrome, url: str, headline: str) -> str:
    """The page's text once it says that, and has asked for its report."""

    def look() -> str:
        chromium.get(url)
        WebDriverWait(chromium, 20).until(
            lambda driver: driver.find_element(By.ID, "headline").text == headline
        )
        return chromium.find_element(By.TAG_NAME, "body").text

    return await asyncio.to_thread(look)


@pytest.mark.parametrize("at", ["/meter/", "/meter"])
async def test_the_page_works_below_a_prefix(
    healthy_report: Report, chromium: webdriver.Chrome, at: str
) -> None:
    asked: list[str] = []
    async with page(healthy_report) as port, proxy("/meter", port, asked) as proxy_port:
        url = f"http://127.0.0.1:{proxy_port}{at}"
        assert "House load" in await shown(chromium, url, "All is well")
        links = [link.get_attribute("href") for link in chromium.find_elements(By.TAG_NAME, "a")]
        base = f"http://127.0.0.1:{proxy_port}/meter/"
        assert {f"{base}status", f"{base}metrics", f"{base}healthz"} <= set(links)
    assert "/meter/status" in asked
    assert all(target.startswith("/meter") for target in asked)


async def test_a_browser_logs_in_with_the_token_and_the_page_stays_up_to_date(
    healthy_report: Report, chromium: webdriver.Chrome
) -> None:
    token = TOKEN
    async with page(healthy_report, "0.0.0.0", lambda: token) as port:
        await asyncio.to_thread(chromium.get, f"http://127.0.0.1:{port}/")
        refused = chromium.find_element(By.TAG_NAME, "body").text
        assert "House load" not in refused

        url = f"http://me:{TOKEN}@127.0.0.1:{port}/"
        assert "House load" in await shown(chromium, url, "All is well")
        assert "House load" in await shown(chromium, f"http://127.0.0.1:{port}/", "All is well")

        token = "another" * 3
        await asyncio.to_thread(refresh, chromium, "The token was changed")


def refresh(chromium: webdriver.Chrome, headline: str) -> None:
    """As when the person comes back to the tab: the page asks at once."""
    chromium.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    WebDriverWait(chromium, 20).until(
        lambda driver: driver.find_element(By.ID, "headline").text == headline
    )


async def test_a_warning_is_seen(healthy_report: Report, chromium: webdriver.Chrome) -> None:
    healthy_report.warnings.append("everybody can <b>read</b> this")
    async with page(healthy_report) as port:
        text = await shown(chromium, f"http://127.0.0.1:{port}/", "All is well")
    healthy_report.warnings.clear()
    assert "everybody can <b>read</b> this" in text
