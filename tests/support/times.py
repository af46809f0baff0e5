"""Moments for tests to which the time scales are all the same."""

from __future__ import annotations

from edge.clock import Moment


def at(ns: int) -> Moment:
    """The instant that is this on all three scales."""
    return Moment(ns, ns, ns)
