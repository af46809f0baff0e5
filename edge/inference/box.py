"""How much memory and how many cores this process may use: what the machine has, less what its
control groups (Linux, cgroups v1 and v2) take away: its own, such as that of a systemd service, and
all above it. Without such files the machine counts alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import psutil  # type: ignore[import-untyped]  # it ships no types

CGROUP: Final = Path("/sys/fs/cgroup")
OWN_GROUPS: Final = Path("/proc/self/cgroup")
"""Which groups this process is in (cgroups(7)); in a container, seen from its own root."""
CPUS: Final = Path("/sys/devices/system/cpu")
SPARE_CORES_FROM: Final = 4
"""With so many cores one is left for the node's loop. With fewer it is worth more to the model: and
where it is wanted, the engine notices and takes fewer (`edge.engine.threads`)."""


def free_memory_bytes(cgroup: Path = CGROUP, own: Path = OWN_GROUPS) -> int:
    """What new work may take of the machine's memory, and of each of its control groups'."""
    free = int(psutil.virtual_memory().available)
    for controller, limit, used, cache in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for group in _groups(cgroup, own, controller):
            most, now = _number(group / limit), _number(group / used)
            if most is not None and now is not None:
                # Pages of files are given back when somebody needs the room.
                free = min(free, max(0, most - now + _field(group / "memory.stat", cache)))
    return free


class Cores(NamedTuple):
    """How many the model may have, and half a sentence about why."""

    number: int
    why: str


def choose_cores(
    cgroup: Path = CGROUP,
    cpus: Path = CPUS,
    allowed: Iterable[int] | None = None,
    own: Path = OWN_GROUPS,
) -> Cores:
    """The physical cores, of the fast ones where there are two kinds, that may be used at a time;
    one fewer from `SPARE_CORES_FROM` up. ``allowed`` are the logical ones that this process may run
    on, by default as the system says. At least 1."""
    if allowed is None and sys.platform != "linux":
        # On a Mac psutil counts efficiency cores too; the engine's own measurement lowers it.
        number = psutil.cpu_count(logical=False) or os.cpu_count() or 1
        why = "the physical cores"
    else:
        number = len(_fast(cpus, os.sched_getaffinity(0) if allowed is None else allowed))
        why = "the physical, fast cores that the node may run on"
    quota = _quota(cgroup, own)
    if quota is not None and max(1, int(quota)) < number:
        number, why = (
            max(1, int(quota)),
            f"its control group may use {quota:g} processors at a time",
        )
    if number >= SPARE_CORES_FROM:
        return Cores(number - 1, f"{why}, but for one that is left for the node itself")
    return Cores(max(1, number), why)


def _fast(cpus: Path, allowed: Iterable[int]) -> set[str]:
    """The physical cores by the list of their threads; without the slow kind, if there is one."""
    capacity: dict[str, int] = {}
    for each in allowed:
        folder = cpus / f"cpu{each}"
        core = _text(folder / "topology" / "core_cpus_list") or _text(
            folder / "topology" / "thread_siblings_list"
        )
        capacity[core or str(each)] = _number(folder / "cpu_capacity") or 0
    most = max(capacity.values(), default=0)
    # Cores of one kind differ by some percent in what their firmware says of them.
    return {core for core, value in capacity.items() if value >= most * 0.7}


def _groups(cgroup: Path, own: Path, controller: str) -> list[Path]:
    """The folders of this process's group and of all above it, of this controller of version 1, or
    of version 2 without one. Those that are not there have no limit."""
    root = cgroup / controller
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # A path that leads out of a container begins with "..", and is nothing here.
        if controller in controllers.split(",") and ".." not in Path(path).parts:
            inner = root / path.lstrip("/")
            return [inner, *(each for each in inner.parents if each.is_relative_to(root))]
    return [root]


def _quota(cgroup: Path, own: Path) -> float | None:
    """How many processors the control groups may use at a time; None without a limit."""
    quotas = [_quota_of(group) for group in _groups(cgroup, own, "")]
    for group in _groups(cgroup, own, "cpu"):
        quota, period = (_number(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        quotas.append(quota / period if quota and period else None)
    return min((each for each in quotas if each is not None), default=None)


def _quota_of(group: Path) -> float | None:
    parts = _text(group / "cpu.max").split()
    if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]):
        return int(parts[0]) / int(parts[1])
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> int | None:
    """None for what is no number: "max", -1, or no such file."""
    text = _text(path)
    return int(text) if text.isdigit() else None


def _field(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0
