"""How the settings come from a file, the environment and the command line, and what is checked."""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from edge.errors import SettingsError
from edge.settings.authority import HostPattern, OriginPattern, is_loopback
from edge.settings.tokens import SECRET_CHARS_MIN, check_tokens, read_tokens
from edge.settings.tree import Model, Server, Settings

_Pattern = TypeVar("_Pattern", HostPattern, OriginPattern)

ENVIRONMENT_PREFIX: Final = "ELWIFT_"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as found in the tree: ``section.name``, its type, default, range and meaning."""

    section: str
    name: str
    kind: Any
    default: Any
    doc: str
    at_least: float | None
    at_most: float | None
    choices: tuple[str, ...]
    secret: bool

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"{ENVIRONMENT_PREFIX}{self.section.upper()}__{self.name.upper()}"


def keys() -> Iterator[Key]:
    """All settings, section by section."""
    defaults = Settings()
    for section in dataclasses.fields(Settings):
        group = getattr(defaults, section.name)
        hints = typing.get_type_hints(type(group))
        for entry in dataclasses.fields(group):
            yield Key(
                section.name,
                entry.name,
                hints[entry.name],
                getattr(group, entry.name),
                **entry.metadata,
            )


_KEYS: Final = {key.path: key for key in keys()}


def load(
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from all three sources. `flags` maps ``section.name`` to a value; entries that
    are None were not given. Raises `SettingsError`."""
    settings = Settings()
    for path, value in (_from_file(file) if file else {}).items():
        _assign(settings, path, value, f"in {file}")
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            path = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".", 1)
            where = f"in the environment as {variable}"
            _assign(settings, path, _from_text(path, text, where), where)
    for path, value in (flags or {}).items():
        if value is not None:
            _assign(settings, path, value, "on the command line")
    _check_together(settings)
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"cannot read the settings file {file}: {reason}", key="") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not valid TOML: {error}", key="") from error
    flat: dict[str, Any] = {}
    for section, group in tree.items():
        if not isinstance(group, dict):
            known = ", ".join(f"[{entry.name}]" for entry in dataclasses.fields(Settings))
            raise SettingsError(
                f"{section!r} in {file} is not in a section; the sections are {known}", key=section
            )
        flat |= {f"{section}.{name}": value for name, value in group.items()}
    return flat


def _from_text(path: str, text: str, where: str) -> Any:
    """An environment variable's text as the type of its setting."""
    key = _KEYS.get(path)
    if key is None or key.kind is str:
        return text
    if key.kind is int:
        try:
            return int(text)
        except ValueError:
            return text
    if key.kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if typing.get_origin(key.kind) is list:
        return [item.strip() for item in text.split(",") if item.strip()]
    # There is one table: that of the tokens.
    return read_tokens(text, where)


def _assign(settings: Settings, path: str, value: Any, where: str) -> None:
    key = _KEYS.get(path)
    if key is None:
        raise SettingsError(
            f"there is no setting {path!r} ({where}){_did_you_mean(path)}", key=path
        )
    if not _fits(value, key.kind):
        shown = "" if key.secret else f", not {value!r}"
        raise SettingsError(f"{path} has to be {_kind_name(key.kind)}{shown} ({where})", key=path)
    low, high = key.at_least, key.at_most
    if (low is not None and value < low) or (high is not None and value > high):
        raise SettingsError(
            f"{path} has to be from {low} to {high}, not {value} ({where})", key=path
        )
    if key.choices and value not in key.choices:
        known = ", ".join(key.choices)
        raise SettingsError(f"{path} has to be one of {known}, not {value} ({where})", key=path)
    if key.secret:
        check_tokens(value, where)
    setattr(getattr(settings, key.section), key.name, value)


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is dict:
        return isinstance(value, dict) and all(
            isinstance(name, str) and isinstance(item, str) for name, item in value.items()
        )
    if origin is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind is int:
        # In Python a bool is an int; in a settings file it is a mistake.
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _kind_name(kind: Any) -> str:
    names = {int: "a whole number", str: "text", bool: "true or false"}
    if isinstance(kind, types.GenericAlias):
        return "a table of texts" if typing.get_origin(kind) is dict else "a list of texts"
    return names[kind]


def _did_you_mean(path: str) -> str:
    import difflib  # only ever needed on the way to an error

    close = difflib.get_close_matches(path, _KEYS, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; `elwift config show` lists all"


def host_patterns(names: Iterable[str]) -> tuple[HostPattern, ...]:
    """The setting ``server.hosts``. SettingsError for what is no host's name."""
    how = (
        "no host: write a name or an address without a port, such as node.example.com,"
        " or *.example.com for all names below"
    )
    return _parsed(names, HostPattern.parse, "server.hosts", how)


def origin_patterns(texts: Iterable[str]) -> tuple[OriginPattern, ...]:
    """The setting ``server.origins``. SettingsError for what is no origin."""
    how = (
        "no origin of a page: write it as browsers do, such as http://localhost:5173,"
        " or //example.com for every scheme and port"
    )
    return _parsed(texts, OriginPattern.parse, "server.origins", how)


def _parsed(
    texts: Iterable[str], parse: Callable[[str], _Pattern | None], key: str, how: str
) -> tuple[_Pattern, ...]:
    found = []
    for text in texts:
        pattern = parse(text)
        if pattern is None:
            raise SettingsError(f"{key} has {text!r}, which is {how}", key=key)
        found.append(pattern)
    return tuple(found)


def _check_together(settings: Settings) -> None:
    if settings.model.stall_kill_ms <= settings.model.stall_report_ms:
        raise SettingsError(
            "model.stall_kill_ms has to be more than model.stall_report_ms,"
            " or the report would come after the end",
            key="model.stall_kill_ms",
        )
    _check_cache(settings.model)
    host_patterns(settings.server.hosts)
    origin_patterns(settings.server.origins)
    check_reach(settings.server, settings.server.host)


def _check_cache(model: Model) -> None:
    if model.kv_type != "f16" and model.flash_attn == "off":
        raise SettingsError(
            f"model.kv_type {model.kv_type} needs flash attention; set model.flash_attn to auto",
            key="model.flash_attn",
        )


def check_reach(server: Server, address: str) -> None:
    """SettingsError when a node that asks for no tokens would listen on this address, by which
    others than this machine can reach it."""
    if not server.tokens and not is_loopback(address):
        raise SettingsError(
            f"listening on {address} lets the whole network in; name who may connect in [server]"
            f' tokens, such as tokens = {{ phone = "…" }} with a secret of {SECRET_CHARS_MIN}'
            " characters or more, or listen on 127.0.0.1",
            key="server.tokens",
        )
