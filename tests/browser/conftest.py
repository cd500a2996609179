"""A real Chromium, as Debian ships it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver

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
    "--window-size=1280,1400",
)


@pytest.fixture
def chromium(required_tool: Callable[[str], str], tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile that talks to nobody but the page."""
    options = webdriver.ChromeOptions()
    options.binary_location = required_tool("chromium")
    for flag in _FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'chromium'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TZ": "Europe/Vienna",
        "LANG": "C.UTF-8",
    }
    service = webdriver.ChromeService(required_tool("chromedriver"), env=environment)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()
