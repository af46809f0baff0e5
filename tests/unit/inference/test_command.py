"""From settings to the worker's command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import SettingsError
from edge.inference import EngineCommand, ModelFile, check_cache, check_context, policy_of
from edge.inference.policy import LifecyclePolicy
from edge.settings import Model
from tests.unit.inference.test_fit import LLAMA_8B

FILE = ModelFile("tiny", Path("/m/tiny.gguf"), 1, 512)


def flag(command: tuple[str, ...], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_settings_become_flags() -> None:
    command = EngineCommand(FILE, Model(slots=3, threads=5, gpu_layers=0))(False)
    assert command[1:5] == ("-m", "edge.engine.worker", "--fd", "{fd}")
    assert flag(command, "--model") == "/m/tiny.gguf"
    assert flag(command, "--slots") == "3"
    assert flag(command, "--threads") == "5"
    assert flag(command, "--gpu-layers") == "0"
    assert "--safe" not in command


def test_safe_mode_is_one_flag_more() -> None:
    command = EngineCommand(FILE, Model())
    assert set(command(True)) - set(command(False)) == {"--safe"}


def test_no_threads_means_all_cores() -> None:
    assert int(flag(EngineCommand(FILE, Model(threads=0))(False), "--threads")) >= 1


@pytest.mark.parametrize(
    ("set_to", "trained_with", "used"),
    [
        (0, 512, 512),
        (0, 131_072, 4_096),
        (8_192, 131_072, 8_192),
        (8_192, 0, 8_192),
        (128, 512, 128),
    ],
)
def test_the_context_is_what_the_model_knows_within_reason(
    set_to: int, trained_with: int, used: int
) -> None:
    file = ModelFile("tiny", FILE.path, 1, trained_with)
    settings = Model(context_tokens=set_to)
    check_context(file, settings)
    assert EngineCommand(file, settings).context_tokens == used


@pytest.mark.parametrize(
    ("set_to", "trained_with", "says"),
    [
        (100_000, 512, "trained with a context of 512 tokens"),
        (513, 512, "--context 512"),
        (1, 512, "set at least 128"),
        (127, 0, "set at least 128"),
        (63, 64, "set at least 64"),
    ],
)
def test_a_context_that_cannot_be_of_use_is_refused(
    set_to: int, trained_with: int, says: str
) -> None:
    file = ModelFile("tiny", FILE.path, 1, trained_with)
    with pytest.raises(SettingsError, match=says) as caught:
        check_context(file, Model(context_tokens=set_to))
    assert caught.value.key == "model.context_tokens"


def test_the_policy_has_the_settings_limits() -> None:
    settings = Model(
        load_timeout_ms=1, stall_report_ms=2, stall_kill_ms=3,
        restart_base_ms=4, restart_max_ms=5, deaths_max=6,
    )  # fmt: skip
    assert policy_of(settings) == LifecyclePolicy(
        load_timeout_ms=1, stall_report_ms=2, stall_kill_ms=3,
        backoff_base_ms=4, backoff_max_ms=5, deaths_max=6,
    )  # fmt: skip


def test_the_settings_say_what_is_so_by_default() -> None:
    assert policy_of(Model()) == LifecyclePolicy()


def test_guesses_may_be_switched_off() -> None:
    flags = [set(EngineCommand(FILE, Model(speculation=on))(False)) for on in (False, True)]
    assert flags[0] - flags[1] == {"--no-speculation"}


def test_what_was_read_is_kept_where_there_is_a_place_and_room_for_it() -> None:
    folder = Path("/d/prompt-cache")
    command = EngineCommand(FILE, Model(prompt_cache_disk_bytes_max=7), folder)(False)
    assert flag(command, "--prompt-cache-dir") == "/d/prompt-cache"
    assert flag(command, "--prompt-cache-dir-bytes") == "7"
    for other in (
        EngineCommand(FILE, Model()),
        EngineCommand(FILE, Model(prompt_cache_disk_bytes_max=0), folder),
    ):
        assert "--prompt-cache-dir" not in other(False)


LARGE = ModelFile("large", Path("/m/large.gguf"), LLAMA_8B.weights_bytes, 131_072, shape=LLAMA_8B)


def test_eight_billion_weights_get_what_fits_and_it_is_said() -> None:
    command = EngineCommand(LARGE, Model(), free_bytes=12 << 30)
    flags = command(False)
    assert flag(flags, "--context-tokens") == "4096"
    assert 4_096 <= int(flag(flags, "--cache-tokens")) < 16 * 4_096
    assert "free some memory" in command.room.sentence


def test_a_context_that_was_set_is_kept_whatever_is_free() -> None:
    command = EngineCommand(LARGE, Model(context_tokens=8_192), free_bytes=1 << 30)
    flags = command(False)
    assert (flag(flags, "--context-tokens"), flag(flags, "--cache-tokens")) == ("8192", "8192")


def test_what_is_kept_of_prompts_takes_from_the_context() -> None:
    none = EngineCommand(LARGE, Model(prompt_cache_mib=0), free_bytes=8 << 30)
    some = EngineCommand(LARGE, Model(prompt_cache_mib=1_024), free_bytes=8 << 30)
    assert some.room.cache_tokens < none.room.cache_tokens
    assert flag(some(False), "--prompt-cache-bytes") == str(1 << 30)


def test_how_the_model_lies_in_memory_becomes_flags() -> None:
    settings = Model(kv_type="q8_0", flash_attn="on", mmap=False, mlock=True)
    command = EngineCommand(FILE, settings)(False)
    assert (flag(command, "--kv-type"), flag(command, "--flash-attn")) == ("q8_0", "on")
    assert {"--no-mmap", "--mlock"} <= set(command)
    assert not {"--no-mmap", "--mlock"} & set(EngineCommand(FILE, Model())(False))


def test_a_cache_whose_blocks_heads_do_not_fill_is_refused() -> None:
    narrow = replace(LARGE, shape=replace(LLAMA_8B, key_length=80))
    check_cache(LARGE, Model(kv_type="q8_0"))
    check_cache(narrow, Model())
    with pytest.raises(SettingsError, match="80 numbers") as caught:
        check_cache(narrow, Model(kv_type="q8_0"))
    assert caught.value.key == "model.kv_type"
