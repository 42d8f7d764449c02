# SPDX-License-Identifier: Apache-2.0
"""What the process has freed does not count as its memory."""

import platform
import subprocess
import sys

import pytest

MEGABYTES = 64

# Blocks below the size from which the C library maps each one by itself, and one behind them that stays.
PROGRAM = f"""
import ctypes, sys
from pathlib import Path
from qwen_asr_plugin.engine.memory import give_back_freed_memory, peak_memory_bytes

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = resident()
blocks = [libc.malloc(ctypes.c_size_t(65536)) for _ in range({MEGABYTES} * 16)]
for block in blocks:
    ctypes.memset(block, 1, 65536)
held = resident()
for block in blocks[:-1]:
    libc.free(ctypes.c_void_p(block))
kept = resident()
give_back_freed_memory()
print(held - before, kept - before, resident() - before, peak_memory_bytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    held, kept, left, peak = map(int, done.stdout.split())
    assert held > (MEGABYTES - 1) << 20
    assert kept > (MEGABYTES - 1) << 20, "freed, but still resident: else there is nothing to test"
    assert left < 4 << 20
    assert peak > (MEGABYTES - 1) << 20
