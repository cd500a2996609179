"""What a person sees in a browser, and what a person who is read to hears."""

import base64
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By

PHONE, DESK = (390, 844), (1280, 900)


class Browser:
    """One tab."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def forget(self) -> None:
        """Everything that an earlier test has left."""
        for command, options in (
            ("Network.enable", {}),
            ("Network.clearBrowserCookies", {}),
            ("Network.clearBrowserCache", {}),
            ("Network.setExtraHTTPHeaders", {"headers": {}}),
            ("Emulation.setScriptExecutionDisabled", {"value": False}),
            ("Emulation.setEmulatedMedia", {"media": "", "features": []}),
            ("Emulation.setScrollbarsHidden", {"hidden": True}),
            # What moves is drawn anew 60 times a second, in software.
            ("Animation.enable", {}),
            ("Animation.setPlaybackRate", {"playbackRate": 0}),
        ):
            self.cdp(command, options)
        self.size(*DESK)
        self.driver.get_log("browser")
        self.driver.get_log("performance")

    def cdp(self, command: str, options: Mapping[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(command, dict(options))

    def size(self, width: int, height: int) -> None:
        """A phone has a touch screen."""
        is_phone = width < 600
        options = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}
        self.cdp("Emulation.setDeviceMetricsOverride", options)
        touch: dict[str, object] = {"enabled": is_phone}
        if is_phone:
            touch["maxTouchPoints"] = 5
        self.cdp("Emulation.setTouchEmulationEnabled", touch)

    def media(self, media: str = "", **features: str) -> None:
        """prefers_color_scheme="dark" …"""
        named = [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
        ]
        self.cdp("Emulation.setEmulatedMedia", {"media": media, "features": named})

    def language(self, header: str) -> None:
        self.cdp("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": header}})

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str, *given: object) -> Any:
        return self.driver.execute_script(script, *given)

    @property
    def text(self) -> str:
        """All that can be seen. Spaces that do not break are spaces."""
        for _ in range(10):
            body = self.driver.find_element(By.TAG_NAME, "body")
            # The page may be left between the two questions: its next is looked at then.
            with contextlib.suppress(StaleElementReferenceException):
                text: str = body.text
                return text.replace("\xa0", " ")
        raise AssertionError("no page stayed long enough to be read")

    def of(self, css: str) -> list[str]:
        """The texts of these elements, seen or not."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)", css
        )
        return [text.replace("\xa0", " ") for text in found]

    def wait(self, until: Callable[[], object], within_s: float, what: str = "") -> float:
        """Seconds until that was so. Fails where it is not within that time."""
        begin = time.monotonic()
        while not until():
            assert time.monotonic() - begin < within_s, f"not within {within_s} s: {what}"
            time.sleep(0.05)
        return time.monotonic() - begin

    def complaints(self) -> list[str]:
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def requests(self) -> list[tuple[str, str]]:
        """(method, URL) of all that it has asked for since this was asked last."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                request = message["params"]["request"]
                found.append((request["method"], request["url"]))
        return [(method, url) for method, url in found if not url.startswith("data:")]

    def transferred(self) -> int:
        """Bytes of the page and of all that it has loaded, as they came, with their heads."""
        total: int = self.run(
            "return [...performance.getEntriesByType('navigation'),"
            " ...performance.getEntriesByType('resource')]"
            ".reduce((sum, each) => sum + each.transferSize, 0)"
        )
        return total

    def picture(self, height: int | None = None) -> bytes:
        """A PNG of the page from its top."""
        width, tall = self.run(
            "const page = document.documentElement;return [page.clientWidth, page.scrollHeight]"
        )
        clip = {"x": 0, "y": 0, "width": width, "height": min(tall, height or tall), "scale": 1}
        options = {"format": "png", "clip": clip, "captureBeyondViewport": True}
        return base64.b64decode(self.cdp("Page.captureScreenshot", options)["data"])

    def audit(self) -> dict[str, Any]:
        """What `AUDIT` finds."""
        found: dict[str, Any] = self.run(AUDIT)
        return found


AUDIT = r"""
const page = document.documentElement, found = {wide: [page.scrollWidth, page.clientWidth]};
const isSeen = node => { const box = node.getBoundingClientRect(), style = getComputedStyle(node);
  return box.width > 1 && box.height > 1 && style.visibility !== "hidden" && box.right > 0; };
const name = node => node.tagName + "." + (node.getAttribute("class") || "") + " " +
  node.textContent.trim().slice(0, 40);

/* Contrast (WCAG 2.2, 1.4.3): of each text against what is behind it. */
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const drawn = {};
const rgba = colour => drawn[colour] ??= (canvas.clearRect(0, 0, 1, 1), canvas.fillStyle = colour,
  canvas.fillRect(0, 0, 1, 1), [...canvas.getImageData(0, 0, 1, 1).data]);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = node => { for (let each = node; each; each = each.parentElement) {
  const colour = rgba(getComputedStyle(each).backgroundColor);
  if (colour[3] > 250) return colour; } return [255, 255, 255, 255]; };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
found.faint = []; found.texts = 0;
while (walker.nextNode()) {
  const text = walker.currentNode, node = text.parentElement;
  if (!text.data.trim() || !isSeen(node) || node.closest("title, desc, script, noscript")) continue;
  const style = getComputedStyle(node);
  const ink = rgba(node.closest("svg") ? style.fill : style.color);
  const a = light(ink), b = light(behind(node));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  const least = node.closest(".big, .figs dd > span, .flow .v, p .v, td.num, .ledger dd") ? 7 : 4.5;
  found.texts++;
  if (ratio < least && !node.closest(".none")) found.faint.push([name(node), +ratio.toFixed(2)]);
  if (ratio < 4.5 && node.closest(".none")) found.faint.push([name(node), +ratio.toFixed(2)]);
}

const all = css => [...document.querySelectorAll(css)];
found.h1 = all("h1").length;
const levels = all("h1, h2, h3, h4").map(node => +node.tagName[1]);
found.skipped = levels.filter((level, i) => i && level - levels[i - 1] > 1).length;
found.nameless = all("svg[role=img]").filter(node => !node.getAttribute("aria-label")).length +
  all("section").filter(node => !document.getElementById(node.getAttribute("aria-labelledby")))
    .length + all("nav").filter(node => !node.getAttribute("aria-label")).length +
  all("svg:not([role=img]):not([aria-hidden])").filter(node => !node.closest("[role=img]")).length;
found.landmarks = ["header", "nav", "main", "footer"].map(css => all(css).length);
found.live = all("[aria-live]").length;
found.current = all("nav [aria-current=page]").length;
found.small = all("a, button, summary, input").filter(isSeen).map(node => {
  const box = node.getBoundingClientRect();
  return [name(node), Math.round(box.width), Math.round(box.height)]; })
  .filter(([, width, height]) => Math.min(width, height) < 43.5);
found.ahead = all("[tabindex]").filter(node => node.tabIndex > 0).length;
found.stale = all(".now").filter(node => /–|no value/.test(node.textContent)).length;
found.owned = document.title === "owned" || all("main img, main script, main b").length;
return found;
"""
"""Everything that can be found by looking once. What is out of the window to the left is not seen.
"""
