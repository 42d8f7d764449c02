# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin mux``: subtitle files of any origin into a copy of a video."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qwen_asr_plugin.media import CONTAINERS, SubtitleFile, burn_in, embed_subtitles, find_ffmpeg
from subtitle_hooks import MediaEmptyError, RequestError, Segment, SidecarName
from subtitle_hooks import Progress as Done

from .console import ConsoleEvents, say
from .stopping import stop_on_signals

if TYPE_CHECKING:
    from qwen_asr_plugin.subtitles.reading import SubtitleDocument

__all__ = ["mux"]

_AS_THEY_ARE: Final = {"srt": ".srt", "vtt": ".vtt", "ass": ".ass"}
_UTF8: Final = frozenset({"utf-8", "utf_8", "utf-8-sig", "utf_8_sig", "ascii"})
_SHORTEST_MS: Final = 1000


def mux(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="The media file; it is not changed.")],
    subtitles: Annotated[list[Path], typer.Argument(metavar="SUBTITLE...", help="SRT, WebVTT, ASS, TTML, LRC...")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help=f"The copy to write: {', '.join(sorted(CONTAINERS))}.")
    ],
    language: Annotated[
        list[str] | None,
        typer.Option("--language", "-l", help="Language of each, in order; else as the names say (x.en.srt)."),
    ] = None,
    title: Annotated[
        list[str] | None, typer.Option("--title", help="Name of each that players show, in order.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Show the first of them without being asked, and no other.")
    ] = False,
    burn: Annotated[
        bool, typer.Option("--burn-in", help="Draw the subtitles into the picture, which is encoded again.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", "--yes", "-y", help="Replace an existing file.")] = False,
    replace_input: Annotated[bool, typer.Option("--replace-input", help="Allow -o to be VIDEO itself.")] = False,
    ffmpeg: Annotated[Path | None, typer.Option(help="Path of the ffmpeg binary.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors, warnings and the path written only.")] = False,
) -> int:
    """Put subtitle files into a copy of a video.

    Nothing is encoded again (but for --burn-in): pictures and sound, existing subtitles, attachments, chapters and tags
    are copied. MP4 and MOV get mov_text, WebM gets WebVTT, Matroska gets SRT or ASS. The names tell language and kind:
    film.en.forced.srt is marked as forced, film.en.sdh.srt as for the hard of hearing.

    [bold]Examples[/bold]

    qwen-asr-plugin mux film.mkv film.en.srt film.de.srt -o film.subtitled.mkv --default

    qwen-asr-plugin mux talk.mp4 talk.srt -l ja -o talk.subtitled.mp4

    qwen-asr-plugin mux talk.mp4 talk.ja.srt --burn-in -o talk.burnt.mp4
    """
    if burn and len(subtitles) > 1:
        raise RequestError("Only one subtitle file can be drawn into the picture.", hint="Name one.")
    for option, values in (("--language", language), ("--title", title)):
        if values and len(values) != len(subtitles):
            raise RequestError(f"There are {len(subtitles)} subtitle files, but {len(values)} values of {option}.")
    tools = find_ffmpeg(ffmpeg)
    with tempfile.TemporaryDirectory(prefix="qwen-asr-") as scratch, stop_on_signals() as stop:
        events = ConsoleEvents(video.name, show_text=False, quiet=quiet, cancelled=stop.is_set)
        files = [
            _subtitle_file(
                path,
                Path(scratch) / str(number),
                language=language[number] if language else None,
                title=title[number] if title else None,
                default=default and number == 0,
            )
            for number, path in enumerate(subtitles)
        ]
        with events.shown():
            options = {"overwrite": overwrite, "replace_input": replace_input}

            def on_progress(done_ms: int) -> None:
                events.progress(Done(stage="mux", done_ms=done_ms))

            if burn:
                warnings = burn_in(
                    video, files[0], output, tools, **options, on_progress=on_progress, cancelled=stop.is_set
                )
            else:
                warnings = embed_subtitles(
                    video, files, output, tools, **options, on_progress=on_progress, cancelled=stop.is_set
                )
            for warning in warnings:
                events.log("warning", warning)
    say(str(output))
    return 0


def _subtitle_file(
    path: Path, scratch: Path, *, language: str | None, title: str | None, default: bool
) -> SubtitleFile:
    from qwen_asr_plugin.subtitles.reading import read_subtitles

    document = read_subtitles(path)
    if not document.cues:
        raise MediaEmptyError("holds no subtitles.", path=path)
    name = SidecarName.of(path)
    tags = {tag.lower() for tag in name.tags}
    return SubtitleFile(
        path=_readable(path, document, scratch),
        language=language or name.language,
        title=title,
        default=default,
        forced=not tags.isdisjoint({"forced", "foreign"}),
        hearing_impaired=not tags.isdisjoint({"sdh", "hi", "cc"}),
    )


def _readable(path: Path, document: SubtitleDocument, scratch: Path) -> Path:
    """Return a file that ffmpeg reads: this one, or a copy in UTF-8, or SubRip where it does not know the format."""
    suffix = _AS_THEY_ARE.get(document.format)
    if suffix and path.suffix.lower() == suffix and document.encoding.lower() in _UTF8:
        return path
    copy = scratch.with_suffix(suffix or ".srt")
    if suffix:
        text = path.read_bytes().decode(document.encoding)
    else:
        from qwen_asr_plugin.subtitles import TranscriptInfo, render

        cues = [cue for cue in document.cues if cue.text.strip()]
        following = [cue.start_ms for cue in cues[1:]] + [None]
        segments = [
            Segment(
                start_ms=cue.start_ms,
                end_ms=max(cue.start_ms + 1, cue.end_ms or until or cue.start_ms + _SHORTEST_MS),
                text=cue.text,
            )
            for cue, until in zip(cues, following, strict=True)
        ]
        text = render("srt", segments, TranscriptInfo(backend=""))
    copy.write_text(text.removeprefix("\ufeff"), encoding="utf-8", newline="")
    return copy
