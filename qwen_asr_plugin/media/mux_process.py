# SPDX-License-Identifier: Apache-2.0
"""Lets ffmpeg write a media file: progress, cancelling, and errors in words."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

import ffmpeg

from qwen_asr_plugin.errors import FfmpegError
from qwen_asr_plugin.media.command import CREATION_FLAGS, error_lines, media_url
from qwen_asr_plugin.media.ffmpeg_binary import FfmpegTools
from subtitle_hooks import CancelledError, OutputError, OutputNotWritableError

__all__ = ["IN", "OUT", "write_media"]

IN: Final = "file:in{}"
"""Stands for the path of input N while a command is built: ffmpeg-python cannot hash a name that is not Unicode."""
OUT: Final = "file:out"
"""Stands for the path of the output."""

_DONE: Final = re.compile(rb"out_time_us=(\d+)")
_NO_GLYPH: Final = re.compile(r"failed to find any fallback with glyph 0x([0-9A-Fa-f]+)")
_LAST: Final = 200
_MOST_GLYPHS: Final = 20


class _Messages:
    """What ffmpeg said: the last lines, and the characters for which there is no font."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_LAST)
        self.missing: dict[str, None] = {}

    def listen(self, pipe: IO[bytes]) -> None:
        for raw in pipe:
            line = raw.decode("utf-8", "replace").rstrip()
            glyph = _NO_GLYPH.search(line)
            if glyph is None:
                self.lines.append(line)
            elif len(self.missing) < _MOST_GLYPHS:
                self.missing.setdefault(chr(int(glyph[1], 16)))


def write_media(
    output: ffmpeg.nodes.OutputStream,
    *,
    tools: FfmpegTools,
    inputs: list[Path],
    target: Path,
    shown: Path,
    repeated: Sequence[tuple[str, str]] = (),
    folder: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Run ffmpeg to its end.

    Args:
        output: What to do, with `IN` and `OUT` in place of paths.
        tools: The ffmpeg in use.
        inputs: Paths for `IN`, in order.
        target: Path for `OUT`; an existing file is written over.
        shown: The file that errors are about.
        repeated: Output options that may stand more than once, which ffmpeg-python cannot express.
        folder: Working folder of the process.
        on_progress: Told how many milliseconds of media are written.
        cancelled: Asked about twice a second.

    Returns:
        Warnings for the user.

    Raises:
        CancelledError: As asked.
        OutputNotWritableError: The disk is full or refuses.
        OutputError: ffmpeg could not do it; the message says why in its words.
        FfmpegError: The program cannot be started.
    """
    extra = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning", "-progress", "pipe:1", "-y")
    places = {IN.format(number): media_url(path) for number, path in enumerate(inputs)} | {OUT: media_url(target)}
    words = output.global_args(*extra).compile(cmd=str(tools.ffmpeg))
    at = words.index(OUT)
    words[at:at] = [word for option in repeated for word in option]
    command = [places.get(word, word) for word in words]
    messages = _Messages()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            creationflags=CREATION_FLAGS,
            start_new_session=True,  # Ctrl-C is for us, who then end ffmpeg
        )
    except OSError as error:
        raise FfmpegError(f"This program cannot be started ({error}).", path=tools.ffmpeg) from error
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        listener = threading.Thread(target=messages.listen, args=(process.stderr,), name="ffmpeg-stderr", daemon=True)
        listener.start()
        try:
            for line in process.stdout:
                done = _DONE.match(line)
                if done is not None:
                    on_progress(int(done[1]) // 1000)
                if cancelled():
                    raise CancelledError("Stopped as asked.")
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            listener.join()
    if process.returncode:
        raise _failure(list(messages.lines), shown)
    if messages.missing:
        return [f"No font on this computer has these characters, so they are not shown: {' '.join(messages.missing)}"]
    return []


def _failure(lines: list[str], shown: Path) -> OutputError:
    errors = error_lines("\n".join(lines)) or lines[-3:]
    said = "; ".join(errors[:3])
    if "No space left on device" in said or "Permission denied" in said or "Read-only file system" in said:
        return OutputNotWritableError(
            f"cannot be written (ffmpeg: {said}).", path=shown, hint="Check free space and permissions."
        )
    return OutputError(f"ffmpeg could not write this file (ffmpeg: {said}).", path=shown)
