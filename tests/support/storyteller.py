"""The shipped model, by which tests run unless they are about another one.

They name it, since what runs otherwise depends on what else is installed."""

from typing import Final

STORYTELLER: Final = "elwift-tiny"
