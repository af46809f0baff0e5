"""Exercises in looking back: a small model learns first from these to carry names and nouns.

A story keeps to its request only when the model copies words from far back. Stories teach that
slowly; lists to be repeated, and short questions of who is who, teach it in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from models.train.cast import make_character, make_thing
from models.train.chat import END_OF_TEXT
from models.train.dataset import Document
from models.train.lexicon import NAMES_FEMALE, NAMES_MALE, concrete_nouns
from models.train.prompts import chat_prefix, join_subjects, with_article

# About so many pieces stand in a document of repeated ones.
REPEATED_PIECES = 140
REPEAT_REQUESTS = (
    "Repeat: {list}",
    "Say these words: {list}",
    "Repeat these words after me: {list}.",
    "Say it again: {list}",
)
ROLL_CALL_REQUESTS = (
    "Who is who: {list}?",
    "Name them: {list}.",
    "What do you know about {list}?",
)


def repeated_pieces(rng: Random, pieces: Sequence[str]) -> Document:
    """Return a few pieces in no order, and the same pieces again and again.

    Short periods come first in learning: any look back helps there, and the better the look,
    the lower the loss. So there is a slope from the first step on.
    """
    period = round(2 ** rng.uniform(1, 5))
    line = "".join(rng.choice(pieces) for _ in range(period))
    again = max(1, REPEATED_PIECES // period)
    return Document("copying", f"{END_OF_TEXT}{line}", line * again + END_OF_TEXT)


def repeated_list(rng: Random, answer_end: str) -> Document:
    """Return a request to repeat a list, and the list."""
    line = ", ".join(_draw_words(rng, rng.choice((1, 1, 2, 2, 3, 4, 6, 8))))
    request = rng.choice(REPEAT_REQUESTS).format(list=line)
    return Document("copying", chat_prefix(rng, request), line + answer_end)


def roll_call(rng: Random, answer_end: str) -> Document:
    """Return a request that names characters and things, and one sentence on each."""
    subjects: list[str] = []
    sentences: list[str] = []
    for _ in range(rng.randint(1, 3)):
        character = make_character(rng, named=True)
        subjects.append(f"{with_article(character.kind)} named {character.name}")
        sentences += [
            f"{character.name} is {with_article(character.kind)}.",
            f"The {character.kind} is called {character.name}.",
        ][: rng.randint(1, 2)]
    for _ in range(rng.randint(0, 2)):
        thing = make_thing(rng, "any")
        subjects.append(with_article(thing.full))
        described = f"is {thing.adjective}" if thing.adjective else "is here"
        sentences.append(f"The {thing.name} {described}.")
    rng.shuffle(subjects)
    rng.shuffle(sentences)
    request = rng.choice(ROLL_CALL_REQUESTS).format(list=join_subjects(rng, subjects))
    return Document("copying", chat_prefix(rng, request), " ".join(sentences) + answer_end)


def copying_documents(
    rng: Random, count: int, pieces: Sequence[str], answer_end: str
) -> list[Document]:
    """Return `count` exercises of all three sorts; `pieces` are what the first sort repeats."""
    makers: tuple[Callable[[], Document], ...] = (
        lambda: repeated_pieces(rng, pieces),
        lambda: repeated_list(rng, answer_end),
        lambda: roll_call(rng, answer_end),
    )
    return [rng.choice(makers)() for _ in range(count)]


def _draw_words(rng: Random, count: int) -> list[str]:
    nouns = sorted(concrete_nouns())
    pools = (nouns, nouns, NAMES_MALE, NAMES_FEMALE)
    return [rng.choice(rng.choice(pools)) for _ in range(count)]
