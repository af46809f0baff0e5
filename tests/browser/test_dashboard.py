"""The dashboard in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import (
    Browser,
    NodeForBrowser,
    contrasts,
    keep,
    node_for_browser,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def node(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeForBrowser]:
    flags = ("--rate", "25", "--signed")
    with node_for_browser(tmp_path_factory.mktemp("node"), *flags) as started:
        yield started


@pytest.fixture
def page(node: NodeForBrowser, browser: Browser) -> Iterator[Browser]:
    """The page, which has figures. Whatever a test does, it has nothing to complain of."""
    browser.driver.get(f"{node.url}/dashboard")
    browser.until(lambda: "slots in use" in browser.find("#facts").text)
    browser.complaints()
    yield browser
    assert browser.complaints() == []


def submit(node: NodeForBrowser, prompt: str, tokens: int = 2) -> str:
    body = {"prompt": prompt, "max_tokens": tokens}
    return str(node.ask("/tasks", "POST", body)["task_id"])


def row(page: Browser, task_id: str) -> Any:
    """The task's row, once it is there."""
    return page.until(lambda: next(iter(page.all(f"tr[data-task='{task_id}']")), None))


def plot(page: Browser, title: str) -> Any:
    return next(each for each in page.all("#plots figure") if title in each.text)


def test_figures_are_plotted(page: Browser, node: NodeForBrowser) -> None:
    submit(node, "work", 200)
    tokens = plot(page, "Tokens a second").find_element("tag name", "strong")
    page.until(lambda: 0 < int(tokens.text) <= 30)
    page.until(lambda: plot(page, "Running").find_element("class name", "line").get_attribute("d"))
    page.until(lambda: "1 of 16 slots" in page.find("#facts").text)
    page.until(lambda: page.find("#health").text == "All is well")
    keep(page, "dashboard")


def in_words(page: Browser, ms: float) -> str:
    """As the page writes a time."""
    script = "import('/pages/task_state.js').then((all) => arguments[1](all.seconds(arguments[0])))"
    return str(page.driver.execute_async_script(script, ms))


def test_percentiles_are_those_of_the_node(page: Browser, node: NodeForBrowser) -> None:
    task_id = submit(node, "measured")
    page.until(lambda: node.ask(f"/tasks/{task_id}")["result"])

    def same() -> bool:
        stats = node.ask("/stats")
        return all(
            page.find(f"#{name}-{part}").text == in_words(page, stats[name][part])
            for name in ("wait_ms", "duration_ms")
            for part in ("p50", "p95", "p99")
        )

    page.until(same)


def test_tasks_are_found_by_state_and_words(page: Browser, node: NodeForBrowser) -> None:
    ended, runs = submit(node, "short sparrow"), submit(node, "long heron", 400)
    row(page, ended)
    page.find("#state").send_keys("executing")
    page.until(lambda: not page.all(f"tr[data-task='{ended}']"))
    row(page, runs)
    page.find("#search").send_keys("no such words")
    page.until(lambda: page.all("#rows tr") == [])
    page.find("#search").clear()
    page.find("#search").send_keys("HERON")
    found = row(page, runs)
    found.find_element("xpath", ".//button[text()='Cancel']").click()
    page.until(lambda: node.ask(f"/tasks/{runs}")["state"] == "cancelled")
    page.until(lambda: page.all("#rows tr") == [])


def test_a_task_is_run_again(page: Browser, node: NodeForBrowser) -> None:
    task_id = submit(node, "again")
    page.until(lambda: node.ask(f"/tasks/{task_id}")["state"] == "completed")
    page.until(lambda: "completed" in row(page, task_id).text)
    row(page, task_id).find_element("xpath", ".//button[text()='Retry']").click()
    page.until(lambda: len(node.ask(f"/tasks/{task_id}/audit")["audit"]) > 3)


def test_the_time_line_of_a_task(page: Browser, node: NodeForBrowser) -> None:
    task_id = submit(node, "in time", 10)
    page.until(lambda: node.ask(f"/tasks/{task_id}")["state"] == "completed")
    page.until(lambda: "completed" in row(page, task_id).text)
    row(page, task_id).find_element("css selector", "button").click()
    page.until(lambda: page.find("#detail").is_displayed())
    steps = [each.text for each in page.all("#steps tr")]
    assert any("waits" in each for each in steps)
    assert any("runs" in each for each in steps)
    assert any("completed (length)" in each for each in steps)
    bars = page.all("#waterfall rect")
    assert len(bars) == 5
    assert page.find("#detail-text").text.startswith("0:")
    keep(page, "waterfall")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: not page.find("#detail").is_displayed())


def test_a_pause_is_said_in_words(page: Browser, node: NodeForBrowser) -> None:
    page.until(lambda: page.find("#pause").text == "Pause the queue")
    page.find("#pause").click()
    page.until(lambda: page.find("#health").text == "Works, but not as it should")
    assert any("paused" in each.text for each in page.all("#reasons li"))
    assert node.ask("/queue")["paused"] is True
    page.find("#pause").click()
    page.until(lambda: node.ask("/queue")["paused"] is False)
    page.until(lambda: page.find("#health").text == "All is well")


LOOKS = """
const loaded = performance.getEntriesByType("resource");
return loaded.filter((each) => each.name.includes("/tasks?")).length;
"""


def counts(page: Browser, known: int) -> bool:
    return page.find("#count").text == f"{known} of the newest {known} tasks"


def test_three_hundred_tasks(page: Browser, node: NodeForBrowser) -> None:
    for number in range(300):
        submit(node, f"of many {number}", 1)
    page.until(lambda: len(page.all("#rows tr")) == 100)
    for known in (200, 300):
        page.find("#older").click()
        page.until(partial(counts, page, known))
    # What was asked for is still there when the page has looked again.
    looks = page.script(LOOKS)
    page.until(lambda: page.script(LOOKS) >= looks + 2)
    assert counts(page, 300)
    page.find("#search").send_keys("of many 29")
    page.until(lambda: len(page.all("#rows tr")) == 11)


def test_a_page_outlives_the_node(page: Browser, node: NodeForBrowser) -> None:
    task_id = submit(node, "before")
    page.until(lambda: node.ask(f"/tasks/{task_id}")["state"] == "completed")
    page.until(lambda: "· 0 completed" not in page.find("#facts").text)
    node.kill()
    page.until(lambda: page.find("#connection").get_attribute("data-state") != "open")
    node.start()
    page.until(lambda: page.find("#connection").text == "connected")
    # The new node counts anew.
    page.until(lambda: "· 0 completed" in page.find("#facts").text)
    for complaint in page.complaints():
        assert "WebSocket connection" in complaint or "ERR_CONNECTION" in complaint


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_night(page: Browser, scheme: str) -> None:
    page.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        found = contrasts(page)
        assert len(found) > 10
        assert [each for each in found if each[0] < 4.5] == []
        keep(page, f"dashboard-{scheme}")
    finally:
        page.emulate("setEmulatedMedia", features=[])


def test_it_fits_a_phone(page: Browser, node: NodeForBrowser) -> None:
    page.emulate(
        "setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True
    )
    try:
        row(page, submit(node, "w" * 300))
        assert page.script("return document.documentElement.scrollWidth") <= 360
        keep(page, "dashboard-360")
    finally:
        page.emulate("clearDeviceMetricsOverride")
