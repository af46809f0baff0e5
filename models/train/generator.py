"""The project's own stories: a request and a story that keeps to it, by seed.

A plot is a list of paragraphs, each in several tellings; plots and the sentences around them lie
in `plots/*.txt`. The same seed always gives the same story. Every story holds every noun (with
its adjective) that its request names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from models.train.cast import PRONOUNS, Character, Thing, make_character, make_thing
from models.train.lexicon import FOODS_SHARED, PLACES
from models.train.prompts import story_prompt, with_article

PLOTS_FOLDER = Path(__file__).parent / "plots"
FRAME_FILE = "frame.txt"
CHOICE = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"\$([A-Za-z]+)")
# A draw that names a friend before the friend comes in is thrown away; few need many.
DRAWS_MAX = 200


@dataclass(frozen=True, slots=True)
class Plot:
    """What happens: which things it needs, and its paragraphs, each in several tellings."""

    name: str
    things: tuple[str, ...]
    theme: str
    opening: str
    paragraphs: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A request, the story that answers it, and the phrases that the story must hold."""

    prompt: str
    text: str
    subjects: tuple[str, ...]
    plot: str


class Undrawable(Exception):
    """This draw makes no good story; the next one may."""


@cache
def load_plots() -> tuple[Plot, ...]:
    """Return all plots."""
    plots: list[Plot] = []
    for path in sorted(PLOTS_FOLDER.glob("*.txt")):
        if path.name == FRAME_FILE:
            continue
        for block in re.split(r"^== ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            head, *lines = block.strip().splitlines()
            name, things, theme, opening = (cell.strip() for cell in head.split("|"))
            needs = tuple(need.strip() for need in things.split("+"))
            plots.append(Plot(name, needs, theme, opening, tuple(_paragraphs(lines))))
    return tuple(plots)


@cache
def load_frame() -> dict[str, tuple[str, ...]]:
    """Return the openings, closings and morals by name."""
    frame: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (PLOTS_FOLDER / FRAME_FILE).read_text(encoding="utf-8").splitlines():
        if line.startswith("> "):
            current = frame.setdefault(line[2:].strip(), [])
        elif line and not line.startswith("#"):
            current.append(line)
    return {name: tuple(lines) for name, lines in frame.items()}


def generate(seed: int) -> Story:
    """Return the story of this seed."""
    rng = Random(seed)
    for _ in range(DRAWS_MAX):
        try:
            return _draw_story(rng)
        except Undrawable:
            continue
    raise AssertionError(f"seed {seed} gave no story in {DRAWS_MAX} draws")


class Cast:
    """Who and what is in one story, and the words for them."""

    def __init__(self, rng: Random, plot: Plot) -> None:
        self.rng = rng
        self.hero = make_character(rng, named=rng.random() < 0.75)
        self.friend = make_character(rng, named=True, taken=self.hero.kind)
        if self.friend.name == self.hero.name:
            raise Undrawable
        self.thing = make_thing(rng, plot.things[0])
        self.second: Thing | None = None
        if len(plot.things) > 1:
            self.second = make_thing(rng, plot.things[1], taken=self.thing.name)
        self.place, self.preposition, self.sights = rng.choice(PLACES)
        if self.thing.name in self.place:
            raise Undrawable
        self.shared = rng.choice(FOODS_SHARED)
        self.friend_known = False

    def word(self, slot: str) -> str:
        """Return the words for a slot; a slot with a capital starts with one."""
        capital = slot[0].isupper() and slot not in {"H", "F", "O", "Q", "P"}
        key = slot if not capital else slot[0].lower() + slot[1:]
        text = self._friend_word(key) or self._thing_word(key) or self._other_word(key)
        if text is None:
            raise AssertionError(f"no slot is called ${slot}")
        return text[0].upper() + text[1:] if capital else text

    def _friend_word(self, key: str) -> str | None:
        pronouns = dict(zip(("fhe", "fhis", "fhim"), PRONOUNS[self.friend.gender], strict=False))
        if key == "fintro":
            known, self.friend_known = self.friend_known, True
            return self.friend.reference if known else self.friend.introduction
        if key == "plainfintro":
            self.friend_known = True
            return self.friend.plain
        if key in pronouns or key == "F":
            if not self.friend_known:
                raise Undrawable
            return pronouns.get(key, self.friend.reference)
        return None

    def _thing_word(self, key: str) -> str | None:
        for letter, thing in (("O", self.thing), ("Q", self.second)):
            if letter not in key or thing is None:
                continue
            named = thing.full if self.rng.random() < 0.4 else thing.name
            words = {
                letter: thing.name,
                f"a{letter}": thing.indefinite(thing.full),
                f"a{letter}bare": with_article(thing.name),
                f"the{letter}": f"the {named}",
                f"his{letter}": f"{PRONOUNS[self.hero.gender][1]} {named}",
                f"use{letter}": self.rng.choice(thing.uses).format(it="it"),
            }
            return words.get(key)
        return None

    def _other_word(self, key: str) -> str | None:
        hero = self.hero
        he, his, him, himself = PRONOUNS[hero.gender]
        if key == "plainintro" and not hero.name:
            raise Undrawable
        words = {
            "H": hero.reference,
            "intro": hero.introduction,
            "plainintro": hero.plain,
            "he": he,
            "his": his,
            "him": him,
            "himself": himself,
            "home": hero.home,
            "food": hero.food,
            "habit": hero.habit,
            "trait": hero.trait or "kind",
            "P": self.place,
            "inP": f"{self.preposition} {self.place}",
            "sees": self.sights,
            "shared": self.shared,
            "everyone": "everyone",
        }
        return words.get(key)


def _draw_story(rng: Random) -> Story:
    plot = rng.choice(load_plots())
    cast = Cast(rng, plot)
    subjects = _subjects(rng, cast)
    frame = load_frame()
    opening = plot.opening if rng.random() < 0.7 else "open"
    if plot.opening == "open_object":
        opening = "open_object"
    paragraphs = [rng.choice(frame[opening])]
    paragraphs += [rng.choice(tellings) for tellings in plot.paragraphs]
    ending = []
    if rng.random() < 0.6:
        ending.append(rng.choice(frame[f"moral_{plot.theme}"]))
    if rng.random() < 0.6 or not ending:
        ending.append(rng.choice(frame["close"]))
    paragraphs.append(" ".join(ending))
    if rng.random() < 0.35:
        paragraphs[0:2] = [" ".join(paragraphs[0:2])]
    text = "\n\n".join(_tell(rng, cast, paragraph) for paragraph in paragraphs)
    needed = tuple(phrase for _, phrase in subjects)
    if not all(phrase in text.lower() for phrase in needed):
        raise Undrawable
    prompt = story_prompt(rng, [asked for asked, _ in subjects])
    return Story(prompt, text, needed, plot.name)


def _tell(rng: Random, cast: Cast, paragraph: str) -> str:
    """Return the paragraph with its choices made and its slots filled."""
    while choice := CHOICE.search(paragraph):
        chosen = rng.choice(choice.group(1).split("|"))
        paragraph = paragraph[: choice.start()] + chosen + paragraph[choice.end() :]
    paragraph = paragraph.replace("$Time", rng.choice(load_frame()["time"]))
    while choice := CHOICE.search(paragraph):
        chosen = rng.choice(choice.group(1).split("|"))
        paragraph = paragraph[: choice.start()] + chosen + paragraph[choice.end() :]
    # "$F, $plainfintro, ..." names the friend and says at once who that is.
    cast.friend_known = cast.friend_known or "$plainfintro" in paragraph
    text = SLOT.sub(lambda slot: cast.word(slot.group(1)), paragraph)
    text = re.sub(r" +([,.!?])", r"\1", re.sub(r" {2,}", " ", text)).strip()
    return _capitalised(text)


def _capitalised(text: str) -> str:
    """Return the text with a capital at each sentence's start, inside quotations too."""
    out = []
    quoted = False
    start = True
    for i, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
            # A quotation opens a sentence, unless it goes on after "..., said the fox, ...";
            # one that closes after a full stop ends a sentence.
            start = not text[:i].endswith(", ") if quoted else text[i - 1] == "."
        elif letter in ".!?":
            start = not (i + 1 < len(text) and text[i + 1] == '"')
        elif letter.isalpha() and start:
            letter, start = letter.upper(), False
        out.append(letter)
    return "".join(out)


def _subjects(rng: Random, cast: Cast) -> list[tuple[str, str]]:
    """Return what the request names, as (request's phrase, phrase the story must hold)."""
    hero = _character_subject(rng, cast.hero)
    friend = _character_subject(rng, cast.friend)
    thing = _thing_subject(rng, cast.thing)
    place = (cast.place, cast.place.removeprefix("the "))
    if cast.second is not None:
        second = _thing_subject(rng, cast.second)
        sets = [[thing, second], [hero, thing, second], [second, thing], [hero, thing]]
        return list(rng.choices(sets, (0.5, 0.25, 0.15, 0.1))[0])
    sets = [
        [hero, thing],
        [thing, hero],
        [hero, friend],
        [hero, place],
        [thing, place],
        [hero],
        [thing],
        [hero, friend, thing],
        [hero, thing, place],
    ]
    weights = (0.44, 0.04, 0.18, 0.08, 0.05, 0.05, 0.05, 0.07, 0.04)
    return list(rng.choices(sets, weights)[0])


def _character_subject(rng: Random, character: Character) -> tuple[str, str]:
    asked, needed = with_article(character.kind), character.kind
    if character.trait and rng.random() < 0.4:
        asked, needed = character.plain, f"{character.trait} {character.kind}"
    if character.name and rng.random() < 0.2:
        asked += f" named {character.name}"
    return asked, needed


def _thing_subject(rng: Random, thing: Thing) -> tuple[str, str]:
    phrase = thing.full if rng.random() < 0.75 else thing.name
    return thing.indefinite(phrase), phrase


def _paragraphs(lines: list[str]) -> Iterator[tuple[str, ...]]:
    tellings: list[str] = []
    for line in lines:
        if line.startswith("> "):
            if tellings:
                yield tuple(tellings)
            tellings = [line[2:]]
        elif line.startswith("/ "):
            tellings.append(line[2:])
    yield tuple(tellings)
