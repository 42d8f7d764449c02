# SPDX-License-Identifier: Apache-2.0
"""Where the results of ``transcribe`` go: sidecar files, containers, standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qwen_asr_plugin.media import SubtitleFile, burn_in, check_burn_in, check_target, embed_subtitles, find_ffmpeg
from qwen_asr_plugin.subtitles import TranscriptInfo, render
from subtitle_hooks import (
    LanguageForm,
    OutputExistsError,
    OutputNotWritableError,
    Segment,
    SubtitleError,
    check_sidecar,
    existing_sidecar,
    sidecar_path,
    write_sidecar,
)

__all__ = ["STREAMED", "Outputs", "StandardOutput"]

STREAMED: Final = frozenset({"srt", "vtt", "tsv"})
"""Formats that standard output gets cue by cue; the others come when all is known."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What to write for each media file, and where.

    Attributes:
        formats: Formats of the sidecar files.
        folder: Folder for everything; None is beside the media.
        overwrite: Replace existing files.
        bom: Begin text files with a byte order mark.
        crlf: End lines with CR LF.
        form: How file names write the language.
        tags: Words between language and extension.
        embed: Also write a copy of the media with the subtitles in it.
        burn_in: Also write a copy of the media with the subtitles drawn into the picture.
        replace_input: Put the copy in the place of the media file.
        default: Mark the embedded subtitles as those to show without being asked.
        ffmpeg: Path of ffmpeg, None to search.
    """

    formats: tuple[str, ...]
    folder: Path | None = None
    overwrite: bool = False
    bom: bool = False
    crlf: bool = False
    form: LanguageForm = "iso639-1"
    tags: tuple[str, ...] = ()
    embed: bool = False
    burn_in: bool = False
    replace_input: bool = False
    default: bool = False
    ffmpeg: Path | None = None

    def check(self, media: Path, language: str | None, claimed: dict[Path, Path]) -> None:
        """Find out before the long work what can be known of the places to write to.

        Raises:
            SubtitleError: Something would be in the way.
        """
        for kind in self.formats:  # an unknown language still tells whether the folder can be written
            target = self._sidecar(media, language, kind)
            if language:
                _claim(target, media, claimed)
            check_sidecar(target, overwrite=self.overwrite or language is None)
        for target in self._copies(media):
            _claim(target, media, claimed)
            check_target(media, target, overwrite=self.overwrite, replace_input=self.replace_input)
        if self.burn_in:
            check_burn_in(find_ffmpeg(self.ffmpeg))

    def write(
        self,
        media: Path,
        segments: Sequence[Segment],
        info: TranscriptInfo,
        claimed: dict[Path, Path],
        *,
        on_progress: Callable[[int], None],
        warn: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> list[Path]:
        """Write everything, or nothing.

        Returns:
            The files written.
        """
        targets = [(self._sidecar(media, info.language, kind), kind) for kind in self.formats]
        for path, _ in targets:
            _claim(path, media, claimed)
            check_sidecar(path, overwrite=self.overwrite)
        new: list[Path] = []
        try:
            for path, kind in targets:
                fresh = not path.exists()
                text = render(kind, segments, info, bom=self.bom, crlf=self.crlf)
                write_sidecar(path, text, overwrite=self.overwrite)
                if fresh:
                    new.append(path)
            copies = self._write_copies(media, segments, info, on_progress, warn, cancelled)
        except SubtitleError:  # a disk that fills up between two formats
            for path in new:
                path.unlink(missing_ok=True)
            raise
        return [path for path, _ in targets] + copies

    def _write_copies(
        self,
        media: Path,
        segments: Sequence[Segment],
        info: TranscriptInfo,
        on_progress: Callable[[int], None],
        warn: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> list[Path]:
        targets = self._copies(media)
        if not targets:
            return []
        if not segments:
            warn(f"{media.name}: there are no subtitles, so no copy with subtitles was written.")
            return []
        tools = find_ffmpeg(self.ffmpeg)
        with tempfile.TemporaryDirectory(prefix="qwen-asr-") as scratch:
            text = Path(scratch) / "subtitles.srt"
            text.write_text(render("srt", segments, info), encoding="utf-8", newline="\n")
            file = SubtitleFile(
                path=text,
                language=info.language,
                default=self.default,
                forced="forced" in self.tags,
                hearing_impaired=not {"sdh", "hi", "cc"}.isdisjoint(self.tags),
            )
            for target in targets:
                warnings = (
                    burn_in(
                        media, file, target, tools,
                        overwrite=self.overwrite, replace_input=self.replace_input,
                        on_progress=on_progress, cancelled=cancelled,
                    )
                    if self.burn_in
                    else embed_subtitles(
                        media, [file], target, tools,
                        overwrite=self.overwrite, replace_input=self.replace_input,
                        on_progress=on_progress, cancelled=cancelled,
                    )
                )  # fmt: skip
                for warning in warnings:
                    warn(warning)
        return targets

    def _sidecar(self, media: Path, language: str | None, kind: str) -> Path:
        path = sidecar_path(media, language, f".{kind}", folder=self.folder, form=self.form, tags=self.tags)
        return existing_sidecar(path) if self.overwrite else path

    def _copies(self, media: Path) -> list[Path]:
        if not (self.embed or self.burn_in):
            return []
        if self.replace_input:
            return [media]
        return [(self.folder or media.parent) / f"{media.stem}.subtitled{media.suffix}"]


def _claim(target: Path, media: Path, claimed: dict[Path, Path]) -> None:
    """Make sure that two files of one run do not write over each other."""
    other = claimed.setdefault(target.absolute(), media)
    if other != media:
        raise OutputExistsError(
            f"Its subtitles would replace those of {other}, made in this same run.",
            path=media,
            hint="Rename one of the two, or run them separately with -o.",
        )


class StandardOutput:
    """Subtitles of one media file on standard output, in UTF-8 whatever the console speaks.

    Args:
        kind: Name of the format.
        bom: Begin with a byte order mark.
        crlf: End lines with CR LF.
    """

    def __init__(self, kind: str, *, bom: bool, crlf: bool) -> None:
        self._kind = kind
        self._bom = bom
        self._crlf = crlf
        self._segments: list[Segment] = []
        self._count = 0
        self._header = ""

    def begin(self) -> None:
        """Write what stands before the first cue."""
        if self._kind in STREAMED:
            info = TranscriptInfo(backend="")
            self._header = render(self._kind, [], info)
            self._put(self._header, bom=self._bom)

    def add(self, segment: Segment) -> None:
        """Take one cue; a format of `STREAMED` has it written at once."""
        self._count += 1
        if self._kind not in STREAMED:
            self._segments.append(segment)
            return
        text = render(self._kind, [segment], TranscriptInfo(backend=""))[len(self._header) :]
        if self._kind == "srt":
            text = f"{self._count}\n{text.partition(chr(10))[2]}"
        self._put(text)

    def finish(self, info: TranscriptInfo) -> None:
        """Write what is left when all is known."""
        if self._kind not in STREAMED:
            self._put(render(self._kind, self._segments, info), bom=self._bom and self._kind != "json")

    def _put(self, text: str, *, bom: bool = False) -> None:
        data = (("\ufeff" if bom else "") + (text.replace("\n", "\r\n") if self._crlf else text)).encode("utf-8")
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            # The flush at exit must not fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputNotWritableError(
                f"Standard output cannot be written ({error.strerror or error}); the rest of the subtitles is lost."
            ) from error
