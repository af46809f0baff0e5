"""Reading the corpus, holding stories out, and finding what each story is about."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from models.train.lexicon import COLOURS, THINGS, TRAITS, concrete_nouns, words
from models.train.prompts import with_article

STORY_END = "<|endoftext|>"
FILES = {
    "tinystories": "tinystories.txt",
    "storybooks": "storybooks_ccby.txt",
    "fables": "fables_tf1_openmodels.txt",
    "books": "publicdomain_children.txt",
}
# One story in so many is never trained on.
HELD_OUT_SHARE = 0.04

ADJECTIVES = (
    frozenset(TRAITS)
    | frozenset(COLOURS)
    | frozenset(adjective for kind in THINGS.values() for adjective in kind.adjectives)
)
# A word that often stands between "a" (and an adjective) and a full stop is a countable noun.
COUNTABLE = re.compile(rf"\b(?:a|an)(?: (?:{'|'.join(sorted(ADJECTIVES))}))? ([a-z]{{3,}})[.,!?;]")
COUNTABLE_USES_MIN = 4
NOT_SUBJECTS = frozenset(
    words(
        "bit lot while day time moment one way few little kind thing friend morning night"
        " something minute hour week year big long good great nice idea name problem surprise"
        " too very you who dad mom smile voice sudden side place word end look step hurry turn"
        " world face hand story"
    )
)
NAMED = re.compile(
    r"\b(an?) ((?:(?!named|called)[a-z]+ ){1,3})(?:named|called|whose name was) ([A-Z][a-z]+)"
)
WORD = re.compile(r"[a-z]+")

# Curly quotation marks, dashes and the ellipsis, by number, since they look too much alike.
_PLAIN = str.maketrans(
    {
        0x201C: '"',
        0x201D: '"',
        0x2018: "'",
        0x2019: "'",
        0x2013: "-",
        0x2014: " - ",
        0x2026: "...",
    }
)


def read_stories(corpus: Path, source: str) -> list[str]:
    """Return the stories of one file, in its order, with plain quotation marks."""
    path = corpus / FILES[source]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the corpus directory as --corpus.")
    text = path.read_text(encoding="utf-8").translate(_PLAIN)
    stories = (story.strip() for story in text.split(STORY_END))
    return [story for story in stories if story]


def is_held_out(story: str) -> bool:
    """Tell by the story's own hash whether it belongs to validation."""
    digest = hashlib.sha256(story.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_SHARE


class Subjects:
    """Finds what a story is about: its named hero and its rarest concrete nouns."""

    def __init__(self, stories: Iterable[str]) -> None:
        stories = list(stories)
        countable: Counter[str] = Counter()
        self._stories_with: Counter[str] = Counter()
        for story in stories:
            countable.update(COUNTABLE.findall(story))
            self._stories_with.update(set(WORD.findall(story)))
        self._nouns = set(concrete_nouns())
        self._nouns.update(
            word
            for word, uses in countable.items()
            if uses >= COUNTABLE_USES_MIN and not word.endswith("s")
        )
        self._nouns -= NOT_SUBJECTS | ADJECTIVES
        self._stories = len(stories)

    def find(self, rng: Random, story: str) -> list[str]:
        """Return one to three noun phrases with articles; empty when nothing stands out."""
        subjects = []
        hero = NAMED.search(story[:300])
        hero_words: set[str] = set()
        if hero and rng.random() < 0.6:
            kind = hero.group(2).strip()
            named = rng.random() < 0.4
            subjects.append(with_article(kind) + (f" named {hero.group(3)}" if named else ""))
            hero_words.update(kind.split())
        nouns = [noun for noun in self._ranked(story) if noun not in hero_words][:4]
        rng.shuffle(nouns)
        wanted = rng.choices((1, 2, 3), (0.2, 0.65, 0.15))[0]
        subjects += [self._phrase(rng, story, noun) for noun in nouns[: wanted - len(subjects)]]
        return subjects

    def _ranked(self, story: str) -> list[str]:
        counts = Counter(word for word in WORD.findall(story) if word in self._nouns)
        scores = {
            word: (1 + math.log(uses)) * math.log(self._stories / self._stories_with[word])
            for word, uses in counts.items()
            if self._stories_with[word]
        }
        return sorted(scores, key=lambda word: (-scores[word], word))

    def _phrase(self, rng: Random, story: str, noun: str) -> str:
        if noun in {"moon", "sun", "sky", "beach", "forest", "park", "sea", "ocean"}:
            return f"the {noun}"
        before = re.findall(rf"\b([a-z]+) {noun}\b", story)
        adjectives = [word for word in before if word in ADJECTIVES]
        if adjectives and rng.random() < 0.6:
            return with_article(f"{adjectives[0]} {noun}")
        return with_article(noun)
