# SPDX-License-Identifier: Apache-2.0
"""Starting a worker process in such a way that it ends with this one, whatever happens to this one."""

from __future__ import annotations

import errno
import multiprocessing.spawn
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import Future

from qwen_asr_plugin.errors import EngineError, EngineMemoryError

__all__ = ["launch"]

# The interpreter and the import path of this process, as multiprocessing's spawn does it, but without importing the
# host's main module a second time. Ctrl-C reaches the whole process group: the worker ignores it, the host decides.
# On Linux the kernel ends the worker with its parent, also where it is stopped or where the host's other children hold
# the pipe open; a parent that ended before that was arranged is noticed by its number.
_CODE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != {parent}:
        try:
            os.kill({parent}, 0)  # there, where the interpreter was started through another program
        except ProcessLookupError:
            os._exit(1)
sys.path[:] = {path!r}
from {module} import main
main()
"""

_Started = Future["subprocess.Popen[bytes]"]


class _Starter:
    """One thread that starts all workers and never ends: Linux ends a child with the *thread* that started it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; in a forked process there is no such thread yet."""
        self._orders: queue.SimpleQueue[tuple[str, _Started]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, module: str) -> subprocess.Popen[bytes]:
        """Start a process."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="qwen-asr-starter", daemon=True)
                thread.start()
                self._thread = thread
        order: _Started = Future()
        self._orders.put((module, order))
        return order.result()

    def _serve(self) -> None:
        while True:
            module, order = self._orders.get()
            try:
                order.set_result(_start_process(module))
            except BaseException as error:  # noqa: BLE001 - raised where the order came from
                order.set_exception(error)


def _start_process(module: str) -> subprocess.Popen[bytes]:
    executable = multiprocessing.spawn.get_executable()
    if not executable:
        raise EngineError(
            "There is no Python interpreter to start the worker process with.",
            hint="Call multiprocessing.set_executable in the host, or use isolation=inline.",
        )
    return subprocess.Popen(
        [os.fsdecode(executable), "-c", _CODE.format(parent=os.getpid(), path=sys.path, module=module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


_starter = _Starter()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_starter.forget)


def launch(module: str = "qwen_asr_plugin.engine.worker") -> subprocess.Popen[bytes]:
    """Start a worker process with pipes for its three streams.

    Args:
        module: Whose ``main`` it runs.

    Raises:
        EngineMemoryError: There is no memory for another process.
        EngineError: It cannot be started.
    """
    try:
        return _starter.start(module)
    except OSError as error:
        kind = EngineMemoryError if error.errno == errno.ENOMEM else EngineError
        raise kind(
            f"The recognition engine's process cannot be started: {error}.",
            hint="Are there limits on processes, open files or memory? isolation=inline needs no process.",
        ) from error
    except RuntimeError as error:  # no new threads
        raise EngineError(f"The recognition engine's process cannot be started: {error}.") from error
