"""What the system knows of an engine's end that the exit code does not say. Linux alone; elsewhere
nothing is known."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


class Witness:
    """One engine process after the other; `began` comes first."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._oom_kills = 0

    def began(self) -> None:
        """A new process is started."""
        self._oom_kills = self._count_oom_kills()

    def is_stopped(self, pid: int | None) -> bool:
        """Somebody has stopped this process (SIGSTOP): that it is silent is not its own doing."""
        try:
            stat = (self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        # The name, which stands before the state, may have spaces and parentheses in it.
        return stat.rpartition(")")[2].split()[:1] == ["T"]

    def ran_out_of_memory(self) -> bool:
        """The kernel has ended some process for lack of memory since `began`; an engine that was
        ended by SIGKILL meanwhile was it, most likely."""
        return self._count_oom_kills() > self._oom_kills

    def _count_oom_kills(self) -> int:
        try:
            lines = (self._proc / "vmstat").read_text(encoding="utf-8").splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
