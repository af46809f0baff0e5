"""The command line as a whole: every command answers for itself."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edge.cli.main import main, parser


def commands(level: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, ...]]:
    """All commands, as they are typed."""
    deeper = [each for each in level._actions if isinstance(each, argparse._SubParsersAction)]
    if not deeper:
        yield words
    for action in deeper:
        for name, sub in action.choices.items():
            yield from commands(sub, *words, name)


ALL = list(commands(parser()))


def test_there_are_the_commands_of_the_readme() -> None:
    assert {words[0] for words in ALL} == {
        "serve", "run", "tasks", "queue", "models", "config", "completion",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "dear"),
    [
        (("tasks", "list", "--help"), {"edge.node", "edge.inference", "duckdb"}),
        (("run", "--help"), {"edge.node", "edge.inference", "duckdb"}),
        (("config", "show"), {"edge.node", "edge.inference", "duckdb", "aiohttp", "rich"}),
    ],
    ids=" ".join,
)
def test_a_command_imports_no_more_than_it_needs(words: tuple[str, ...], dear: set[str]) -> None:
    script = (
        "import sys\nfrom edge.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, check=True, text=True
    )
    imported = set(ended.stderr.split())
    assert "edge.cli.main" in imported
    assert not imported & dear


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_says_what_it_is_for_and_has_json(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--json" in told
    assert "usage: elwift " + " ".join(words) in told


@pytest.mark.parametrize(
    "words",
    [("tasks", "list", "--format", "csv"), ("tasks", "show"), ("models", "list", "x"), ("config",)],
    ids=" ".join,
)
def test_a_flag_of_another_command_is_not_taken(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: elwift" in capsys.readouterr().err
