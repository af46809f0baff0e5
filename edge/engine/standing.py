"""What an engine process tells the system about itself: who may end it, and when it has to end."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from pathlib import Path


def end_with_the_node() -> None:
    """Even if it hangs: it would keep memory from the engine of the next node. Other systems than
    Linux cannot do that, and it ends after the step that it is at."""
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG of prctl(2).
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def offer_itself() -> None:
    """When memory runs out, let it be this process: the node brings it back, nobody the node."""
    with contextlib.suppress(OSError):  # no Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
