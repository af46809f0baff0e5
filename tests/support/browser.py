"""A real Chromium, and a node for it that can be killed and started again under its address."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.node import RunningNode
from tests.support.scripted_node import start_scripted_node

T = TypeVar("T")

FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
WAIT_S: Final = 20


def why_no_browser() -> str | None:
    """What is missing for tests in a browser; None when all is there."""
    if not any(map(shutil.which, BROWSERS)):
        return f"none of {', '.join(BROWSERS)} is installed"
    return None if shutil.which("chromedriver") else "chromedriver is not installed"


class NodeForBrowser:
    """A node with a scripted engine in a process of its own, at one address for all its lives."""

    def __init__(
        self, runner: asyncio.Runner, data_dir: Path, flags: tuple[str, ...], **settings: str
    ) -> None:
        self._runner = runner
        self._data_dir, self._flags = data_dir, flags
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._settings = {name.replace("__", "."): each for name, each in settings.items()}
        self.url = f"http://127.0.0.1:{self._port}"
        self._node: RunningNode | None = None

    def start(self) -> None:
        settings = self._settings | {"server.port": str(self._port)}
        starting = start_scripted_node(self._data_dir, *self._flags, settings=settings)
        self._node = self._runner.run(starting)

    def kill(self) -> None:
        if self._node is not None:
            self._runner.run(self._node.kill())
            self._node = None

    def ask(self, path: str, method: str = "GET", body: object = None, token: str = "") -> Any:
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def node_for_browser(data_dir: Path, *flags: str, **settings: str) -> Iterator[NodeForBrowser]:
    """One for the time of the block; settings as ``section__name``."""
    with asyncio.Runner() as runner:
        node = NodeForBrowser(runner, data_dir, flags, **settings)
        node.start()
        try:
            yield node
        finally:
            node.kill()


class Browser:
    """A Chromium with one tab."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, condition: Callable[[], T | None]) -> T:
        """Waits until the condition has a true value, and returns it."""
        wait = WebDriverWait(
            self.driver, WAIT_S, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        found = wait.until(lambda _driver: condition())
        assert found is not None, "it has waited for that"
        return found

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def emulate(self, command: str, **parameters: object) -> None:
        self.driver.execute_cdp_cmd(f"Emulation.{command}", parameters)

    def complaints(self) -> list[str]:
        """What the console has got since the last call: errors, warnings, reports of the policy."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in log if each["level"] in ("SEVERE", "WARNING")]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """One for the time of the block, with a fresh profile."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1200,900"):
        options.add_argument(flag)
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def keep(page: Browser, name: str) -> None:
    """A picture for people, where somebody wants them."""
    folder = os.environ.get("ELWIFT_TEST_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.driver.save_screenshot(f"{folder}/{name}.png")


_CONTRASTS: Final = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map(channel);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("h1, h2, h3, p, label, button, a, .text, .badge")]
  .filter((each) => each.offsetParent !== null && each.textContent.trim() && !each.disabled)
  .map((each) => {
    const [a, b] = [light(getComputedStyle(each).color), light(ground(each))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), each.outerHTML.slice(0, 80)];
  });
"""


def contrasts(page: Browser) -> list[tuple[float, str]]:
    """Of each text that is shown: its contrast to its ground, and the element. 4.5 is enough (WCAG
    2.2, success criterion 1.4.3)."""
    return [(contrast, element) for contrast, element in page.script(_CONTRASTS)]
