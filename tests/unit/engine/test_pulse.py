"""The pulse of a step: counted, stopped, begun anew. Its function is called as ggml calls it."""

from __future__ import annotations

import ctypes
import sys

import pytest

from edge.engine.pulse import _FULL, Pulse

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such semaphores")
KIND = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)


@linux
def test_each_operation_is_counted_and_may_go_on() -> None:
    pulse = Pulse()
    function = pulse.function(KIND)
    assert [function(pulse.data) for _ in range(3)] == [False, False, False]
    assert pulse.operations == 3
    pulse.begin()
    assert pulse.operations == 0


@linux
def test_once_stopped_no_operation_may_begin_until_the_next_step() -> None:
    pulse = Pulse()
    function = pulse.function(KIND)
    pulse.stop()
    assert [function(pulse.data) for _ in range(2)] == [True, True]
    pulse.begin()
    assert not function(pulse.data)


@linux
def test_a_step_that_has_more_operations_than_can_be_counted_would_end() -> None:
    """Which no graph has; each step begins anew."""
    pulse = Pulse()
    pulse._fill(1)
    function = pulse.function(KIND)
    assert not function(pulse.data)
    assert pulse.operations == _FULL
    assert function(pulse.data)


def test_elsewhere_nothing_is_counted_and_nothing_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    pulse = Pulse()
    pulse.stop()
    pulse.begin()
    assert pulse.function(KIND) is None
    assert pulse.operations == 0
