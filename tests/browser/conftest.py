"""A real Chromium, as Debian ships it: one for all tests, which therefore run in one process
(`xdist_group`).
"""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser.looking import Browser
from tests.browser.serving import Served
from tests.browser.told import Told
from tests.tools import find_tool

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """With an empty profile; it talks to nobody but the page."""
    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = find_tool("chromium")
    for flag in _FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TZ": "America/New_York",
        "LANG": "C.UTF-8",
    }
    service = webdriver.ChromeService(find_tool("chromedriver"), env=environment)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(one_browser: webdriver.Chrome) -> Iterator[Browser]:
    """As it is at first, without cookies and with nothing in its cache."""
    looking = Browser(one_browser)
    looking.forget()
    yield looking
    one_browser.get("about:blank")


@pytest.fixture
def served() -> Iterator[Served]:
    """The real server with what it is told."""
    serving = Served(Told())
    serving.start()
    yield serving
    serving.stop()
