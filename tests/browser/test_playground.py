"""The playground in a real browser, as a person uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.support.browser import Browser, NodeForBrowser, contrasts, keep, node_for_browser

TOKEN = "0123456789abcdef"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def node(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeForBrowser]:
    # Its words are numbered and signed: none can be lost or doubled unseen.
    with node_for_browser(tmp_path_factory.mktemp("node"), "--rate", "25", "--signed") as started:
        yield started


@pytest.fixture
def page(node: NodeForBrowser, browser: Browser) -> Iterator[Browser]:
    """The page as a stranger gets it. Whatever a test does, it has nothing to complain of."""
    browser.driver.get(f"{node.url}/")
    browser.script("sessionStorage.clear()")
    browser.driver.get(f"{node.url}/")
    browser.until(lambda: browser.find("#connection").text == "connected")
    browser.complaints()
    yield browser
    assert browser.complaints() == []


def submit(page: Browser, prompt: str, tokens: int = 40) -> WebElement:
    """The new task's card."""
    known = len(page.all(".card"))
    page.find("#prompt").clear()
    page.find("#prompt").send_keys(prompt)
    page.find("#max-tokens").clear()
    page.find("#max-tokens").send_keys(str(tokens))
    page.find("#ask button[type=submit]").click()
    return page.until(lambda: page.all(".card")[0] if len(page.all(".card")) > known else None)


def text_of(card: WebElement) -> str:
    return str(card.find_element("class name", "text").get_property("textContent"))


def press(card: WebElement, name: str) -> None:
    card.find_element("xpath", f".//button[text()='{name}']").click()


def state_of(card: WebElement) -> str | None:
    return card.get_attribute("data-state")


def until_ended(page: Browser, node: NodeForBrowser, card: WebElement) -> dict[str, Any]:
    """The task's document; the page has all of its text."""
    page.until(lambda: state_of(card) in ("completed", "cancelled", "discarded"))
    task: dict[str, Any] = node.ask(f"/tasks/{card.get_attribute('data-task')}")
    if task["state"] == "completed":
        assert text_of(card) == task["result"]["text"]
    return task


def result_of(node: NodeForBrowser, task_id: str) -> Any:
    return node.ask(f"/tasks/{task_id}")["result"]


def test_a_task_is_submitted_and_watched(page: Browser, node: NodeForBrowser) -> None:
    card = submit(page, "a story", 50)
    page.until(lambda: state_of(card) == "executing" and "writing" in card.text)
    keep(page, "streaming")
    task = until_ended(page, node, card)
    assert (task["state"], task["prompt"]) == ("completed", "a story")
    assert task["options"]["max_tokens"] == 50
    assert card.find_element("class name", "said").text.startswith("done: 50 tokens")
    keep(page, "done")


def test_several_side_by_side(page: Browser, node: NodeForBrowser) -> None:
    page.find("#copies").clear()
    page.find("#copies").send_keys("3")
    submit(page, "thrice", 10)
    cards = page.until(lambda: page.all(".card") if len(page.all(".card")) == 3 else None)
    ids = {until_ended(page, node, card)["task_id"] for card in cards}
    assert len(ids) == 3
    tops = {card.location["y"] for card in cards}
    assert len(tops) == 1, "in one row"


def test_a_cut_connection_is_resumed_at_the_character(page: Browser, node: NodeForBrowser) -> None:
    card = submit(page, "cut me", 100)
    page.until(lambda: len(text_of(card)) > 40)
    page.find("#cut").click()
    page.until(lambda: page.find("#connection").text == "cut")
    had = text_of(card)
    written = node.ask(f"/tasks/{card.get_attribute('data-task')}")["tokens"]
    page.until(
        lambda: node.ask(f"/tasks/{card.get_attribute('data-task')}")["tokens"] > written + 5
    )
    assert text_of(card) == had, "nothing comes while it is cut"
    page.find("#cut").click()
    page.until(lambda: f"Went on at character {len(had)}." in card.text)
    assert text_of(card).startswith(had)
    until_ended(page, node, card)


def test_a_page_that_is_loaded_again_goes_on(page: Browser, node: NodeForBrowser) -> None:
    card = submit(page, "load again", 60)
    task_id = card.get_attribute("data-task")
    page.until(lambda: len(text_of(card)) > 20)
    page.driver.refresh()
    card = page.until(lambda: next(iter(page.all(".card")), None))
    assert card.get_attribute("data-task") == task_id
    until_ended(page, node, card)
    assert card.find_element("tag name", "h3").text == "load again"


def test_stop_and_retry(page: Browser, node: NodeForBrowser) -> None:
    card = submit(page, "stop me", 400)
    page.until(lambda: len(text_of(card)) > 20)
    press(card, "Stop")
    assert until_ended(page, node, card)["state"] == "cancelled"
    press(card, "Retry")
    page.until(lambda: state_of(card) == "executing")
    press(card, "Stop")
    assert until_ended(page, node, card)["state"] == "cancelled"


def test_a_page_outlives_the_node(page: Browser, node: NodeForBrowser) -> None:
    card = submit(page, "kill the node", 100)
    page.until(lambda: len(text_of(card)) > 40)
    node.kill()
    page.until(lambda: page.find("#connection").get_attribute("data-state") != "open")
    node.start()
    task = until_ended(page, node, card)
    assert task["state"] == "completed"
    # A browser says of every connection that it could not have.
    for complaint in page.complaints():
        assert "WebSocket connection" in complaint or "ERR_CONNECTION" in complaint


def test_text_is_text(page: Browser, node: NodeForBrowser) -> None:
    prompt = "<img src=x onerror=alert(1)><b>bold</b>"
    card = submit(page, prompt, 3)
    until_ended(page, node, card)
    page.until(lambda: any(prompt in row.text for row in page.all("#history li")))
    assert card.find_element("tag name", "h3").text == prompt
    assert page.all("main img, main b") == []
    with pytest.raises(Exception, match="TrustedHTML"):
        page.script("document.body.innerHTML = '<b>no</b>'")
    page.complaints()  # which is what was asked for


def test_history_and_search(page: Browser, node: NodeForBrowser) -> None:
    for word in ("haystack", "needle"):
        task_id = node.ask("/tasks", "POST", {"prompt": f"one {word}", "max_tokens": 2})["task_id"]
        page.until(partial(result_of, node, task_id))
    page.find("#search").send_keys("NEEDLE")
    page.driver.refresh()
    page.until(lambda: page.all("#history li"))
    page.find("#search").clear()
    page.find("#search").send_keys("NEEDLE")
    page.until(lambda: len(page.all("#history li")) == 1)
    page.until(lambda: page.find("#found").text == "1 found")
    page.find("#history button").click()
    card = page.until(lambda: next(iter(page.all(".card")), None))
    until_ended(page, node, card)
    assert card.find_element("tag name", "h3").text == "one needle"


def test_what_is_wrong_is_said_at_its_field(page: Browser) -> None:
    page.find("#ask button[type=submit]").click()
    assert page.find("#problem").text == "Write a prompt first."
    page.find("#prompt").send_keys("x")
    page.script("document.querySelector('#schema').value = '{'")
    page.find("#ask button[type=submit]").click()
    assert page.find("#problem").text.startswith("The schema is no JSON")
    assert page.driver.switch_to.active_element.get_attribute("id") == "schema"
    assert page.find("#schema").get_attribute("aria-invalid") == "true"
    page.script("document.querySelector('#schema').value = '{\"not\": {}}'")
    page.find("#ask button[type=submit]").click()
    page.until(lambda: page.find("#problem").text not in ("", "Write a prompt first."))
    page.until(lambda: "is no JSON" not in page.find("#problem").text)
    page.until(lambda: page.find("#problem").text)
    assert page.all(".card") == []
    # The browser reports each answer that is an error.
    assert all("422" in each for each in page.complaints())


def test_with_the_keyboard_alone(page: Browser, node: NodeForBrowser) -> None:
    def press_keys(*keys: str) -> None:
        ActionChains(page.driver).send_keys(*keys).perform()

    def focused() -> WebElement:
        return page.driver.switch_to.active_element

    press_keys(Keys.TAB)
    assert focused().text == "Skip to the prompt"
    press_keys(Keys.ENTER)
    page.until(lambda: focused().get_attribute("id") == "prompt")
    press_keys("by keyboard")
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(
        Keys.CONTROL
    ).perform()
    card = page.until(lambda: next(iter(page.all(".card")), None))
    page.until(lambda: len(text_of(card)) > 10)
    for _ in range(30):
        press_keys(Keys.TAB)
        if focused().text == "Stop":
            break
    assert focused().text == "Stop"
    outline = focused().value_of_css_property("outline-style")
    assert outline == "solid", "it is seen where one is"
    press_keys(Keys.ENTER)
    assert until_ended(page, node, card)["state"] == "cancelled"


def test_every_control_has_a_name(page: Browser) -> None:
    unnamed = page.script(
        "return [...document.querySelectorAll('input, textarea, select, button')]"
        ".filter((each) => !each.labels?.length && !each.textContent.trim())"
        ".map((each) => each.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_its_window(page: Browser, node: NodeForBrowser, width: int) -> None:
    page.emulate(
        "setDeviceMetricsOverride", width=width, height=740, deviceScaleFactor=1, mobile=width < 400
    )
    try:
        card = submit(page, "w" * 500, 5)
        until_ended(page, node, card)
        assert page.script("return document.documentElement.scrollWidth") <= width
        keep(page, f"width-{width}")
    finally:
        page.emulate("clearDeviceMetricsOverride")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_night(page: Browser, node: NodeForBrowser, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.emulate("setEmulatedMedia", features=[feature])
    try:
        until_ended(page, node, submit(page, "colours", 5))
        found = contrasts(page)
        assert len(found) > 10
        assert [each for each in found if each[0] < 4.5] == []
        keep(page, scheme)
    finally:
        page.emulate("setEmulatedMedia", features=[])


def program(page: Browser, language: str) -> str:
    page.find("#code").click()
    page.find(f"[data-language={language}]").click()
    text = page.find("#snippet-text").get_property("value")
    page.find("#snippet-close").click()
    return str(text)


def test_code_does_the_same(page: Browser) -> None:
    prompt = 'it\'s a "quote"\n$HOME `x` \\n 🚣'
    page.script("document.querySelector('#prompt').value = arguments[0]", prompt)
    page.find("#max-tokens").send_keys("4")
    python = program(page, "python")
    done = subprocess.run(
        [sys.executable, "-c", python], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("0:")
    assert len(done.stdout.split()) == 4
    curl = program(page, "curl")
    done = subprocess.run(
        ["sh", "-c", curl], capture_output=True, text=True, timeout=30, check=True
    )
    assert '"state":"completed"' in done.stdout
    assert prompt.partition("\n")[2] in done.stdout.replace("\\\\", "\\")
    assert "let body: [String: Any] = [" in program(page, "swift")


def test_a_node_that_wants_a_token(browser: Browser, tmp_path: Path) -> None:
    tokens = f"me={TOKEN}"
    with node_for_browser(tmp_path, "--rate", "50", server__tokens=tokens) as node:
        browser.driver.get(f"{node.url}/")
        browser.until(lambda: browser.find("#token-form").is_displayed())
        browser.find("#token").send_keys("wrong", Keys.ENTER)
        browser.until(
            lambda: browser.find("#token-problem").text == "This token is not valid here."
        )
        browser.find("#token").send_keys(TOKEN, Keys.ENTER)
        browser.until(lambda: browser.find("#connection").text == "connected")
        assert not browser.find("#token-form").is_displayed()
        card = submit(browser, "with a token", 5)
        browser.until(lambda: state_of(card) == "completed")
        for language in ("curl", "python", "swift"):
            text = program(browser, language)
            assert TOKEN not in text
            assert "ELWIFT_TOKEN" in text
        assert all("401" in each for each in browser.complaints())
        browser.script("sessionStorage.clear()")
