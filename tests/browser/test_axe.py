"""Both pages as axe-core judges them: no fault that keeps people out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import Browser, NodeForBrowser, node_for_browser
from tests.support.npm import why_not_installed

pytestmark = pytest.mark.timeout(120)

PACKAGE = '{"private": true, "dependencies": {"axe-core": "^4.10"}}'
RUN = "axe.run().then(arguments[0], (error) => arguments[0](String(error)))"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    (folder / "package.json").write_text(PACKAGE)
    reason = why_not_installed(folder)
    if reason is not None:
        pytest.skip(f"no axe-core from npm: {reason}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def node(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeForBrowser]:
    with node_for_browser(tmp_path_factory.mktemp("node"), "--rate", "100") as started:
        yield started


@pytest.mark.parametrize("path", ["/", "/dashboard"])
def test_no_fault_is_found(browser: Browser, node: NodeForBrowser, axe: str, path: str) -> None:
    """With a task on the page: its card, or its time line."""
    node.ask("/tasks", "POST", {"prompt": "hello", "max_tokens": 5})
    browser.driver.get(node.url + path)
    browser.until(lambda: browser.all("#history button, #rows button"))
    browser.find("#history button, #rows button").click()
    browser.until(lambda: browser.all(".card .text, #detail[open]"))
    browser.script(axe)
    found = browser.driver.execute_async_script(RUN)
    assert isinstance(found, dict), found
    assert len(found["passes"]) > 10
    faults = [
        (each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]
    ]
    assert faults == []
