# SPDX-License-Identifier: Apache-2.0
"""How many cores may be used: made-up machines in a folder, and a real control group where that is permitted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen_asr_native.cores import cpu_quota, describe_cores, usable_cores

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="folders of Linux machines")
V2 = "40 31 0:38 {root} /sys/fs/cgroup rw shared:3 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A root folder with processors (siblings by number) and files; all processors are allowed unless named."""

    def make(siblings: list[str], files: dict[str, str] | None = None, allowed: set[int] | None = None) -> Path:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed or set(range(len(siblings))), raising=False)
        for number, text in enumerate(siblings):
            write(f"sys/devices/system/cpu/cpu{number}/topology/core_cpus_list", text)
        for name, text in (files or {}).items():
            write(name, text)
        return tmp_path

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    return make


def test_hardware_threads_of_one_core_count_once(machine: Callable[..., Path]) -> None:
    siblings = ["0,4", "1,5", "2,6", "3,7"] * 2
    assert usable_cores(root=machine(siblings)) == 4
    assert usable_cores(root=machine(siblings, allowed={0, 4, 5})) == 2
    assert usable_cores(root=machine(siblings, allowed={6})) == 1


def test_a_hybrid_machine_has_all_its_cores(machine: Callable[..., Path]) -> None:
    assert usable_cores(root=machine(["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"])) == 6


def test_old_and_bare_kernels(machine: Callable[..., Path], tmp_path: Path) -> None:
    ids = {
        f"sys/devices/system/cpu/cpu{cpu}/topology/{name}": value
        for cpu, (core, package) in enumerate([("0", "0"), ("0", "0"), ("0", "1"), ("1", "1")])
        for name, value in (("core_id", core), ("physical_package_id", package))
    }
    assert usable_cores(root=machine([""] * 4, ids)) == 3
    (tmp_path / "empty").mkdir()
    assert usable_cores(root=tmp_path / "empty") == 4


@pytest.mark.parametrize(
    ("files", "quota", "cores"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "10000 100000"}, 0.1, 1),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "300000 100000"}, 3.0, 3),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/cpu.max": "300000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000",
                "sys/fs/cgroup/other/cpu.max": "100000 100000",
            },
            3.0,
            3,
        ),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "garbage"}, None, 8),
    ],
)
def test_quotas_of_the_second_version(
    machine: Callable[..., Path], files: dict[str, str], quota: float | None, cores: int
) -> None:
    root = machine([str(number) for number in range(8)], {**files, "proc/self/mountinfo": V2.format(root="/")})
    assert (cpu_quota(root=root), usable_cores(root=root)) == (quota, cores)
    assert describe_cores(root=root).endswith("no quota" if quota is None else f"quota {quota}")


def test_quotas_of_the_first_version_as_a_container_sees_them(machine: Callable[..., Path]) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct"
    files = {
        "proc/self/cgroup": "4:memory:/docker/1\n2:cpuacct,cpu:/docker/1\n1:name=systemd:/docker/1",
        "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" + V1.format(root="/docker/1"),
        f"{group}/cpu.cfs_quota_us": "250000",
        f"{group}/cpu.cfs_period_us": "100000",
    }
    siblings = [str(number) for number in range(8)]
    assert usable_cores(root=machine(siblings, files)) == 3
    assert cpu_quota(root=machine(siblings, {f"{group}/cpu.cfs_quota_us": "-1"})) is None


def test_this_machine_has_cores() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert describe_cores().startswith(f"{usable_cores()} core")


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_a_real_quota_is_respected() -> None:
    """The child joins a group that grants half a processor."""
    candidates = {Path("/sys/fs/cgroup/cpu"): "cpu.cfs_quota_us", Path("/sys/fs/cgroup"): "cpu.max"}
    with contextlib.ExitStack() as stack:
        for mount, name in candidates.items():
            folder = mount / f"qwen-asr-test-{os.getpid()}"
            try:
                folder.mkdir()
                stack.callback(folder.rmdir)
                (folder / name).write_text("50000" if "cfs" in name else "50000 100000")
                break
            except OSError:
                stack.close()
        else:
            pytest.skip("making control groups is not permitted here")
        join = f"import pathlib, os; pathlib.Path({str(folder / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
        ask = "from qwen_asr_native.cores import *; print(cpu_quota(), usable_cores())"
        told = subprocess.run([sys.executable, "-c", join + ask], capture_output=True, text=True, check=True)
        assert told.stdout.split() == ["0.5", "1"]
