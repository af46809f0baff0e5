"""Asks the shipped file for 20 stories about two things each, and prints the table.

    python -m models.train.evaluate --model models/elwift-tiny.gguf [--stories COUNT]

Each story is sampled by llama.cpp at temperature 0.7, without any other cut; the seed is the
row's number. A story counts when it holds both nouns and ends by itself before 400 tokens.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from models.train.chat import prompt_text
from models.train.llama_worker import ask

TEMPERATURE = 0.7
TOKENS_MAX = 400


class Request(NamedTuple):
    """A request, and the two nouns that its story must hold."""

    prompt: str
    first: str
    second: str


REQUESTS = (
    Request("Tell me a story about a boy and a red boat", "boy", "boat"),
    Request("Write a story about a fox and a lantern.", "fox", "lantern"),
    Request("Tell me a story about a cat and a drum.", "cat", "drum"),
    Request("Write a story about a girl and a yellow kite.", "girl", "kite"),
    Request("Write a short story about a king and a cake.", "king", "cake"),
    Request("Can you tell me about an owl and a star?", "owl", "star"),
    Request("Tell me a story about a bear and a blue scarf.", "bear", "scarf"),
    Request("Write a story about a frog and a train.", "frog", "train"),
    Request("Story: a dog and a ball", "dog", "ball"),
    Request("I would like a story about a mouse and a bell.", "mouse", "bell"),
    Request("Please tell me a story about a farmer and a pumpkin.", "farmer", "pumpkin"),
    Request("Tell me a bedtime story about a rabbit and the moon.", "rabbit", "moon"),
    Request("Write a story about a princess and a key.", "princess", "key"),
    Request("Write a story about a duck and an umbrella.", "duck", "umbrella"),
    Request("Tell me a story about a robot and a flower.", "robot", "flower"),
    Request("Write a tale about a dragon and a bridge.", "dragon", "bridge"),
    Request("Could you tell me a story about a lion and a mouse?", "lion", "mouse"),
    Request("Write a story about a ladder and an apple.", "ladder", "apple"),
    Request("Tell me a story about a turtle and a truck.", "turtle", "truck"),
    Request("Write a story about a sailor and a green parrot.", "sailor", "parrot"),
)


def holds(text: str, noun: str) -> bool:
    """Tell whether the text has the noun as a word, in either number."""
    return re.search(rf"\b{noun}(?:s|es)?\b", text, re.IGNORECASE) is not None


def sample_stories(model: Path) -> list[dict[str, Any]]:
    """Return the answers to all requests, seed by row number."""
    jobs = [
        {
            "do": "sample",
            "prompt": prompt_text(request.prompt),
            "seed": seed,
            "temperature": TEMPERATURE,
            "count": TOKENS_MAX,
        }
        for seed, request in enumerate(REQUESTS, start=1)
    ]
    return ask(model, jobs)


def main() -> None:
    """Print the table as Markdown, and the first stories in full."""
    parser = argparse.ArgumentParser(description="Evaluate a model on 20 requests.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--stories", type=int, default=0, help="print so many stories in full")
    options = parser.parse_args()
    stories = sample_stories(options.model)
    lines = ["| seed | request | both nouns | ended | tokens |", "|---|---|---|---|---|"]
    good = 0
    for seed, (request, story) in enumerate(zip(REQUESTS, stories, strict=True), start=1):
        both = holds(story["text"], request.first) and holds(story["text"], request.second)
        good += both and story["ended"]
        marks = ["yes" if mark else "no" for mark in (both, story["ended"])]
        lines.append(f"| {seed} | {request.prompt} | {' | '.join(marks)} | {story['tokens']} |")
    lines.append(f"\n{good} of {len(REQUESTS)} hold both nouns and end by themselves.")
    for seed in range(1, options.stories + 1):
        text = stories[seed - 1]["text"]
        lines.append(f"\n### Seed {seed}: {REQUESTS[seed - 1].prompt}\n\n{text}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
