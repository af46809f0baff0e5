from __future__ import annotations

from pathlib import Path

import pytest

from edge.inference.witness import Witness


@pytest.mark.parametrize(
    ("stat", "stopped"),
    [("7 (python3) T 1 7", True), ("7 (a T) (x) S 1 7", False), ("7 (x) R 1", False), ("", False)],
)
def test_a_stopped_process_is_known_by_its_state(tmp_path: Path, stat: str, stopped: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(stat)
    assert Witness(tmp_path).is_stopped(7) == stopped


def test_what_is_not_there_says_nothing(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    witness.began()
    assert not witness.is_stopped(7)
    assert not witness.is_stopped(None)
    assert not witness.ran_out_of_memory()


def test_memory_ran_out_if_somebody_was_ended_for_it_meanwhile(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("oom_kill_other 9\noom_kill 3\n")
    witness = Witness(tmp_path)
    witness.began()
    assert not witness.ran_out_of_memory()
    vmstat.write_text("oom_kill_other 9\noom_kill 4\n")
    assert witness.ran_out_of_memory()
    witness.began()
    assert not witness.ran_out_of_memory()
