# SPDX-License-Identifier: Apache-2.0
"""How many processor cores this process may keep busy: the sensible number of computing threads.

Two hardware threads of one core share its arithmetic units, so that matrix products gain nothing from the second one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["cpu_quota", "describe_cores", "usable_cores"]

_SIBLINGS = ("core_cpus_list", "thread_siblings_list")  # the second is the name before Linux 5.3


def usable_cores(*, root: Path = Path("/")) -> int:
    """Physical cores this process may use, at least 1.

    Counted are the cores behind the logical processors that the process's affinity allows (which includes cpusets),
    and not more than its control groups grant (`cpu_quota`, rounded up, because threads that do not wait for each other
    can use a part of a core).

    Args:
        root: Where ``/sys`` and ``/proc`` are looked for.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = len({_core(cpu, root) for cpu in allowed})
    else:
        cores = _counted_cores()
    quota = cpu_quota(root=root)
    if quota is not None:
        cores = min(cores, math.ceil(quota))
    return max(1, cores)


def cpu_quota(*, root: Path = Path("/")) -> float | None:
    """Processors' worth of time that Linux control groups (containers, systemd units) grant, None when unlimited.

    The smallest quota on the way from the process's group up to the mount point is the one that counts. Versions 1
    (``cpu.cfs_quota_us``) and 2 (``cpu.max``) are read wherever they are mounted.

    Args:
        root: Where ``/proc`` and the mount points are looked for.
    """
    return min((quota for folder in _groups(root) if (quota := _quota_of(folder)) is not None), default=None)


def describe_cores(*, root: Path = Path("/")) -> str:
    """A few words for a bug report: ``4 cores usable of 16 logical processors, quota 4.0``.

    Args:
        root: As for `usable_cores`.
    """
    quota = cpu_quota(root=root)
    cores = usable_cores(root=root)
    limit = "no quota" if quota is None else f"quota {quota:.1f}"
    return f"{cores} core{'' if cores == 1 else 's'} usable of {os.cpu_count() or 1} logical processors, {limit}"


def _core(cpu: int, root: Path) -> str:
    """A text that is equal for the logical processors of one core."""
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    for name in _SIBLINGS:
        siblings = _read(topology / name)
        if siblings:
            return siblings
    core, package = (_read(topology / name) for name in ("core_id", "physical_package_id"))
    return f"core {core} of {package}" if core else f"cpu {cpu}"


def _counted_cores() -> int:
    """Physical cores where the system does not say which processor belongs to which, at most as many as allowed."""
    logical = os.cpu_count() or 1
    try:
        import psutil
    except ImportError:
        return logical
    physical = psutil.cpu_count(logical=False) or logical
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # not on macOS, which has none
    return min(physical, len(affinity())) if affinity is not None else physical


def _groups(root: Path) -> Iterator[Path]:
    """The control-group folders that may limit this process, innermost first."""
    memberships = [line.split(":", 2) for line in _read(root / "proc/self/cgroup").splitlines() if line.count(":") >= 2]
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        mounted, at = fields[3], fields[4].replace("\\040", " ")
        for _, controllers, group in memberships:
            second_version = kind[0] == "cgroup2" and controllers == ""
            if second_version or (
                kind[0] == "cgroup" and "cpu" in controllers.split(",") and "cpu" in kind[2].split(",")
            ):
                yield from _up_to_the_mount(root / at.lstrip("/"), PurePosixPath(group), PurePosixPath(mounted))


def _up_to_the_mount(mount: Path, group: PurePosixPath, mounted: PurePosixPath) -> Iterator[Path]:
    """Folders of a group and its parents; in a container only the part below ``mounted`` can be seen."""
    try:
        inside = group.relative_to(mounted)
    except ValueError:
        inside = PurePosixPath()
    for part in (inside, *inside.parents):
        yield mount / part


def _quota_of(folder: Path) -> float | None:
    maximum = _read(folder / "cpu.max").split()
    if not maximum:
        maximum = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
    try:
        quota, period = map(int, maximum)
    except ValueError:  # "max 100000", or there are no such files
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
