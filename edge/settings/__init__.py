"""The settings: one tree, three ways in, a limit and a clear sentence for every key.

A setting has one name in three forms: ``[server] port`` in a TOML file, ``ELWIFT_SERVER__PORT`` in
the environment, and a flag of the command line for the common ones. A later one wins: defaults,
file, environment, flags. An unknown key, a wrong type or a value out of range raises
`SettingsError`, which names the key and where it was found.
"""

from edge.settings.authority import is_loopback
from edge.settings.load import Key, check_reach, host_patterns, keys, load, origin_patterns
from edge.settings.tree import (
    Data,
    Embeddings,
    Fallback,
    Health,
    Model,
    Models,
    Server,
    Settings,
    Socket,
    Tasks,
)

__all__ = [
    "Data",
    "Embeddings",
    "Fallback",
    "Health",
    "Key",
    "Model",
    "Models",
    "Server",
    "Settings",
    "Socket",
    "Tasks",
    "check_reach",
    "host_patterns",
    "is_loopback",
    "keys",
    "load",
    "origin_patterns",
]
