"""Tokens as they come from a file, the environment, and by hand: what is refused, and how."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.errors import SettingsError
from edge.settings import Settings, load
from edge.settings.tokens import SECRET_CHARS_MAX, SECRET_CHARS_MIN

GOOD = "0123456789abcdef"
VARIABLE = "ELWIFT_SERVER__TOKENS"


def from_environment(text: str) -> dict[str, str]:
    return load(None, {VARIABLE: text}).server.tokens


def from_file(folder: Path, text: str) -> dict[str, str]:
    file = folder / "elwift.toml"
    file.write_text(f"[server]\n{text}\n", encoding="utf-8")
    return load(file, {}).server.tokens


def refusal(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        from_environment(text)
    assert caught.value.key == "server.tokens"
    assert VARIABLE in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", ["phone=", "phone= ", f"laptop={GOOD},phone="])
def test_a_variable_that_is_not_set_is_no_secret(text: str) -> None:
    assert "the secret of 'phone' is empty" in refusal(text)


@pytest.mark.parametrize("text", ["", " ", ",", "phone", GOOD, f"phone={GOOD},", f",phone={GOOD}"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [f"phone={GOOD},laptop={GOOD}", f"phone={GOOD},phone={GOOD}1", f"phone={GOOD}, phone ={GOOD}1"],
)
def test_each_client_has_a_name_and_a_secret_of_its_own(text: str) -> None:
    assert "same secret" in refusal(text) or "name of another" in refusal(text)


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "-a", "\x1b[31m", "x" * 65])
def test_a_name_is_one_that_can_be_shown(name: str) -> None:
    assert "client 1 needs another name" in refusal(f"{name}={GOOD}")


def test_a_secret_has_a_least_length() -> None:
    assert from_environment(f"phone={GOOD[:SECRET_CHARS_MIN]}")
    sentence = refusal(f"phone={GOOD[: SECRET_CHARS_MIN - 1]}")
    assert "'phone' has 15 characters and needs 16" in sentence


def test_a_secret_has_a_greatest_length() -> None:
    assert from_environment(f"phone={'x' * SECRET_CHARS_MAX}")
    assert "more than 4096" in refusal(f"phone={'x' * (SECRET_CHARS_MAX + 1)}")


@pytest.mark.parametrize("secret", [f"{GOOD}é", f"{GOOD}\n{GOOD}", f"{GOOD}\x7f", f"{GOOD}\udcff"])
def test_a_secret_can_be_sent_in_a_header(secret: str) -> None:
    assert "cannot be sent in a header" in refusal(f"phone={secret}")


@pytest.mark.parametrize("secret", [f"{GOOD}==", f"a=b=c={GOOD}", f"two words {GOOD}", f"={GOOD}"])
def test_a_secret_is_whole(tmp_path: Path, secret: str) -> None:
    assert from_environment(f" phone = {secret} ") == {"phone": secret}
    assert from_file(tmp_path, f'tokens = {{ phone = "{secret}" }}') == {"phone": secret}


def test_a_secret_with_a_comma_has_to_stand_in_a_file(tmp_path: Path) -> None:
    secret = f"{GOOD},{GOOD}"
    assert from_file(tmp_path, f'tokens = {{ phone = "{secret}" }}') == {"phone": secret}
    assert "comma" in refusal(f"phone={secret}")


SECRET = "hunter2-hunter2"
"""Too short by one character."""


@pytest.mark.parametrize(
    "text",
    [
        f'tokens = "phone={SECRET}"',
        f'tokens = ["{SECRET}"]',
        f'tokens = {{ phone = ["{SECRET}"] }}',
        f'tokens = {{ phone = {{ secret = "{SECRET}" }} }}',
        f'tokens = {{ phone = "{SECRET}" }}',
        f'tokens = {{ phone = "{SECRET} " }}',
        f'tokens = {{ phone = "{SECRET}{SECRET}", laptop = "{SECRET}{SECRET}" }}',
        f'tokens = {{ "" = "{SECRET}{SECRET}" }}',
        f'tokens = {{ phone = "" , laptop = "{SECRET}{SECRET}" }}',
        f'tokens = {{ phone = "{SECRET}ü" }}',
        f"tokens = {{ phone = {SECRET} }}",
        f'token = {{ phone = "{SECRET}" }}',
        f'host = "0.0.0.0"\n[tokens]\nphone = "{SECRET}{SECRET}"',
    ],
)
def test_no_error_of_a_file_shows_a_secret(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        from_file(tmp_path, text)
    shown = "".join(traceback.format_exception(caught.value))
    for action in ("check", "show"):
        assert main(["config", action, "--config", str(tmp_path / "elwift.toml")]) != 0
    printed = capsys.readouterr()
    assert "hunter2" not in shown + printed.out + printed.err


@pytest.mark.parametrize(
    "text", [SECRET, f"phone={SECRET}", f"phone={SECRET},{SECRET}", f"={SECRET}{SECRET}"]
)
def test_no_error_of_the_environment_shows_a_secret(text: str) -> None:
    assert "hunter2" not in refusal(text)


def test_settings_show_no_secret(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = load(None, {VARIABLE: f"phone={GOOD}"})
    assert GOOD not in repr(settings)
    file = tmp_path / "elwift.toml"
    file.write_text(f'[server]\ntokens = {{ phone = "{GOOD}" }}\n')
    for words in (["show"], ["show", "--json"], ["check"]):
        assert main(["config", *words, "--config", str(file)]) == 0
    printed = capsys.readouterr()
    assert "phone" in printed.out
    assert GOOD not in printed.out + printed.err


def test_no_tokens_at_all_are_fine(tmp_path: Path) -> None:
    assert load(None, {}).server.tokens == {}
    assert from_file(tmp_path, "tokens = {}") == {}
    assert Settings().server.tokens == {}
