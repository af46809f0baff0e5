"""The generator: the same story for the same seed, true to its request, and never twice alike."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from models.train.generator import Story, generate, load_frame, load_plots

SEEDS = range(1500)


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return [generate(seed) for seed in SEEDS]


def test_one_seed_always_gives_one_story(stories: list[Story]) -> None:
    assert [generate(seed) for seed in SEEDS[:100]] == stories[:100]


def test_each_story_holds_what_its_request_names(stories: list[Story]) -> None:
    for story in stories:
        for phrase in story.subjects:
            assert phrase in story.text.lower()


def test_no_slot_or_choice_is_left_open(stories: list[Story]) -> None:
    for story in stories:
        assert not re.search(r"[${}|/<>_]", story.text), story.text
        assert "  " not in story.text


def test_quotations_close_and_paragraphs_end_with_a_full_stop(stories: list[Story]) -> None:
    for story in stories:
        for paragraph in story.text.split("\n\n"):
            assert paragraph.count('"') % 2 == 0, paragraph
            assert paragraph[-1] in '.!?"', paragraph
            assert paragraph[0] == '"' or paragraph[0].isupper(), paragraph


def test_articles_fit_the_next_word(stories: list[Story]) -> None:
    for story in stories:
        assert not re.search(r"\b[Aa] [aeiou](?!ni|ku|se|ne)", story.text), story.text
        assert not re.search(r"\b[Aa]n [bcdfgjklmnpqrstvwxyz]", story.text), story.text


def test_stories_end_well_before_400_tokens(stories: list[Story]) -> None:
    # A piece holds more than three characters; so 1,500 characters are fewer than 500 pieces.
    lengths = sorted(len(story.text) for story in stories)
    assert lengths[0] > 250
    assert lengths[len(lengths) // 2] < 1100
    assert lengths[-1] < 1600


def test_requests_and_stories_vary(stories: list[Story]) -> None:
    texts = {story.text for story in stories}
    assert len(texts) == len(stories)
    prompts = Counter(story.prompt for story in stories)
    bare = sum(count for prompt, count in prompts.items() if count > 1)
    assert bare < len(stories) * 0.08
    openings = {story.text.split(".")[0] for story in stories}
    assert len(openings) > len(stories) * 0.9


def test_every_plot_is_told(stories: list[Story]) -> None:
    told = {story.plot for story in stories}
    assert len(load_plots()) >= 40
    assert told == {plot.name for plot in load_plots()}


def test_every_theme_has_a_moral() -> None:
    frame = load_frame()
    assert {f"moral_{plot.theme}" for plot in load_plots()} <= frame.keys()
    assert {plot.opening for plot in load_plots()} <= frame.keys()
