"""Heroes, friends, things and places of one generated story."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from models.train.lexicon import (
    ANIMALS,
    COLOURS,
    NAMES_FEMALE,
    NAMES_MALE,
    PEOPLE,
    THINGS,
    TRAITS,
)
from models.train.prompts import with_article

PRONOUNS = {"m": ("he", "his", "him", "himself"), "f": ("she", "her", "her", "herself")}
# Children are what most requests name.
CHILDREN = (("boy", "m"), ("girl", "f"), ("boy", "m"), ("girl", "f"), ("child", "m"))
# Animals whose name tells which they are.
GENDER_OF = {"hen": "f", "cow": "f", "rooster": "m", "peacock": "m", "goose": "f"}
CASTLE_FOLK = frozenset(("king", "queen", "prince", "princess", "knight"))
PERSON_HOMES = (
    "a small house",
    "a little cottage",
    "a house with a blue door",
    "a house near the woods",
    "a small town",
    "a village by the river",
    "a house on a hill",
    "a tall yellow house",
)
PERSON_HOMES_SPECIAL = {
    "mermaid": "the blue sea",
    "ghost": "an old house",
    "giant": "a big cave",
    "snowman": "a white garden",
    "fairy": "a flower",
    "robot": "a big white house",
    "astronaut": "a house with a glass roof",
}
PERSON_FOODS = (
    "apple pie",
    "pancakes",
    "soup",
    "cookies",
    "bread with honey",
    "strawberries",
    "noodles",
    "chocolate cake",
)

# Things by how a plot needs them; a name that is no group is a kind or a single thing.
GROUPS: dict[str, str] = {
    "portable": "toy clothing instrument tool light container treasure food carried_home",
    "carried_home": "blanket pillow umbrella cushion quilt stool towel fan teacup mat birdhouse",
    "breakable": "toy instrument light container mirror clock teacup birdhouse umbrella",
    "flyaway": "toy clothing treasure umbrella towel blanket",
    "building": "bridge tower house castle hut cabin treehouse wall snowman sandcastle shed"
    " cottage igloo windmill tunnel",
    "hiding": "tree wall barn shed haystack hollow_log well statue fountain snowman scarecrow"
    " wagon truck bus boat cart box barrel basket trunk crate bed curtain couch table door sofa",
    "heavy": "vehicle wall gate snowman tree bench table couch door",
    "lever": "shovel spade broom ladder axe rake walking_stick fishing_rod broomstick hammer",
}
KIND_OF = {name: kind for kind, entry in THINGS.items() for name in entry.names}
# "The moon", not "a moon": there is only one.
UNIQUE = frozenset({"moon"})


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing with the one adjective (or none) that it keeps through the story."""

    name: str
    adjective: str
    uses: tuple[str, ...]

    @property
    def full(self) -> str:
        """Adjective and name."""
        return f"{self.adjective} {self.name}".strip()

    def indefinite(self, phrase: str) -> str:
        """Return the phrase with the article of its first mention."""
        return f"the {phrase}" if self.name in UNIQUE else with_article(phrase)


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody in the story; `name` is empty for "the fox" without one."""

    kind: str
    name: str
    trait: str
    gender: str
    home: str
    food: str
    habit: str

    @property
    def reference(self) -> str:
        """What the story calls it after the first mention."""
        return self.name or f"the {self.kind}"

    @property
    def plain(self) -> str:
        """Trait and kind, with an article: "a brave fox"."""
        return with_article(f"{self.trait} {self.kind}".strip())

    @property
    def introduction(self) -> str:
        """Trait, kind and name: "a brave fox named Pip"."""
        return self.plain + (f" named {self.name}" if self.name else "")


def things_of(group: str) -> list[str]:
    """Return the names of all things in a group, a kind, or several of them."""
    names: list[str] = []
    for word in group.split():
        word_spaced = word.replace("_", " ")
        if word == "any":
            names += [name for name, kind in KIND_OF.items() if kind != "sky"]
        elif word in GROUPS:
            names += things_of(GROUPS[word])
        elif word in THINGS:
            names += THINGS[word].names
        else:
            assert word_spaced in KIND_OF, f"no thing or group is called {word}"
            names.append(word_spaced)
    return names


def make_thing(rng: Random, group: str, taken: str = "") -> Thing:
    """Return a thing of the group, with a fitting adjective more often than not."""
    kinds = group.split()
    # Kinds first, so that a short list of things is met as often as a long one.
    name = rng.choice(things_of(rng.choice(kinds)))
    while name == taken:
        name = rng.choice(things_of(rng.choice(kinds)))
    kind = THINGS[KIND_OF[name]]
    adjectives = COLOURS if rng.random() < 0.4 and KIND_OF[name] != "sky" else kind.adjectives
    adjective = rng.choice(adjectives) if rng.random() < 0.65 else ""
    return Thing(name, adjective if adjective not in name else "", kind.uses)


def make_character(rng: Random, *, named: bool, taken: str = "") -> Character:
    """Return an animal or a person of a kind other than `taken`."""
    kind, gender, home, food, habit = _draw(rng)
    while kind == taken:
        kind, gender, home, food, habit = _draw(rng)
    names = NAMES_MALE if gender == "m" else NAMES_FEMALE
    trait = rng.choice(TRAITS) if rng.random() < 0.7 else ""
    if trait and trait in kind:
        trait = "brave"
    name = rng.choice(names) if named else ""
    return Character(kind, name, trait, gender, home, food, _her(habit, gender))


def _draw(rng: Random) -> tuple[str, str, str, str, str]:
    roll = rng.random()
    if roll < 0.6:
        animal = rng.choice(ANIMALS)
        gender = GENDER_OF.get(animal.name) or rng.choice("mf")
        return animal.name, gender, animal.home, animal.food, animal.habit
    if roll < 0.75:
        kind, gender = rng.choice(CHILDREN)
        habit = rng.choice(("play outside", "ask questions", "run and jump", "draw pictures"))
    else:
        kind, gender, habit = rng.choice(PEOPLE)
        gender = gender or rng.choice("mf")
    home = "a castle" if kind in CASTLE_FOLK else rng.choice(PERSON_HOMES)
    home = PERSON_HOMES_SPECIAL.get(kind, home)
    return kind, gender, home, rng.choice(PERSON_FOODS), habit


def _her(habit: str, gender: str) -> str:
    return f"{habit} ".replace(" his ", " her ").strip() if gender == "f" else habit
