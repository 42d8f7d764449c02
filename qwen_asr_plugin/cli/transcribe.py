# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin transcribe``: files in, subtitles beside them."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from qwen_asr_plugin.subtitles import FORMATS, TranscriptInfo, render
from subtitle_hooks import (
    CancelledError,
    OutputExistsError,
    RequestError,
    SubtitleError,
    SubtitleRequest,
    check_media,
    check_sidecar,
    sidecar_path,
    write_sidecar,
)

from .console import ConsoleEvents, say, show_configuration, show_error, show_statistics, stderr

__all__ = ["transcribe"]

_SEVERAL_REASONS = 9


def transcribe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Media files: whatever ffmpeg reads.")],
    *,
    formats: Annotated[
        str, typer.Option("--format", "-f", help=f"What to write, comma separated: {', '.join(sorted(FORMATS))}.")
    ] = "srt",
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Write there instead of beside the media.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "--yes", "-y", help="Replace existing files.")] = False,
    language: Annotated[
        str | None, typer.Option("--language", "-l", help="Spoken language (en, eng, English); found out if left out.")
    ] = None,
    context: Annotated[str, typer.Option(help="Names and terms that may occur, as plain text.")] = "",
    track: Annotated[int | None, typer.Option(min=0, help="Audio track, counted from 0.")] = None,
    track_language: Annotated[str | None, typer.Option(help="Audio track by its language tag.")] = None,
    start: Annotated[float, typer.Option("--start", "--seek-start", "-ss", min=0, help="Start here, seconds.")] = 0.0,
    duration: Annotated[float | None, typer.Option("--duration", "-t", help="Only this long, seconds.")] = None,
    norm: Annotated[str, typer.Option(help="Rules the cues are built by.")] = "default",
    timestamps: Annotated[
        bool, typer.Option("--timestamps/--no-timestamps", "--ts/--no-ts", help="Without: plain text only (txt).")
    ] = True,
    model_dir: Annotated[
        Path | None,
        typer.Option("--model-dir", "-m", help="Folder of a model bundle, or a folder that holds just one."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", "--prec", help="Encoder precision: fp32, fp16, int8 or int4.")
    ] = None,
    quant: Annotated[str | None, typer.Option(help="Decoder quantisation the bundle has: f16, q8_0, q4_k...")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per physical core this process may use.")] = 0,
    lanes: Annotated[int, typer.Option(min=0, help="Chunks at the same time; 0 chooses.")] = 0,
    provider: Annotated[
        str,
        typer.Option(
            "--onnx-provider",
            "--provider",
            "-p",
            help="Encoder device: cpu, cuda, dml, coreml or tensorrt; cuda:1 is the second. Needs the onnxruntime "
            "package made for it.",
        ),
    ] = "cpu",
    dml: Annotated[
        bool | None, typer.Option("--dml/--no-dml", help="Encoder on DirectML; short for --onnx-provider dml.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Decoder device: cpu, gpu (the first), or a name such as CUDA0 or Vulkan1; qwen-asr-plugin doctor "
            "lists them. A GPU needs a libllama built for it.",
        ),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu/--no-gpu", "--vulkan/--no-vulkan", help="Short for --device gpu.")
    ] = False,
    allow_fallback: Annotated[
        bool,
        typer.Option(
            "--allow-fallback", help="Use the CPU, and say so, when a device cannot be used; else that fails."
        ),
    ] = False,
    libllama: Annotated[
        str | None, typer.Option(help="libllama: a provider's name, a library file or its folder.")
    ] = None,
    ffmpeg: Annotated[Path | None, typer.Option(help="Path of the ffmpeg binary.")] = None,
    allow_damaged: Annotated[
        bool, typer.Option("--allow-damaged", help="Take what can be decoded of a damaged file.")
    ] = False,
    text: Annotated[bool, typer.Option("--show-text/--hide-text", help="Print the text as it comes.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors and the paths written only.")] = False,
) -> int:
    """Make subtitles for media files.

    Writes FILE's name with the language and .srt beside it, never over an existing file unless told to (-y). A file
    that fails does not stop the next one.

    [bold]Examples[/bold]

    qwen-asr-plugin transcribe talk.mp4

    qwen-asr-plugin transcribe film.mkv --track-language eng -f srt,txt -y

    qwen-asr-plugin transcribe *.mp3 --language en --context "Ada Lovelace, Babbage" -o subs

    qwen-asr-plugin transcribe long.mp4 --start 600 --duration 60
    """
    wanted = _formats(formats if timestamps else "txt")
    if not all(math.isfinite(seconds) for seconds in (start, duration or 0.0)):
        raise RequestError("The time range is impossible.", hint="start and duration are seconds.")
    options: dict[str, Any] = {
        "precision": precision,
        "quant": quant,
        "libllama": libllama,
        "onnx_provider": "dml" if dml else provider.lower(),
        "device": device or ("gpu" if gpu else None),
        "allow_fallback": allow_fallback,
        "threads": threads,
        "lanes": lanes,
        "ffmpeg": ffmpeg,
        "allow_damaged": allow_damaged,
    }
    requests = [
        SubtitleRequest(
            media=file,
            track=track,
            track_language=track_language,
            language=language,
            context=context,
            start_ms=round(start * 1000),
            duration_ms=None if duration is None else round(duration * 1000),
            norm=norm,
            model=None if model_dir is None else str(model_dir),
            options={name: value for name, value in options.items() if value is not None},
        )
        for file in files
    ]
    if not quiet:
        show_configuration(
            {
                "Files": f"{len(files)}: {', '.join(f.name for f in files[:3])}{'...' if len(files) > 3 else ''}",
                "Model": str(model_dir or "bundled default"),
                "Precision": f"encoder {precision or 'bundle default'}, decoder {quant or 'bundle default'}",
                "Language": language or "found out",
                "Devices": f"encoder {options['onnx_provider']}, decoder {options['device'] or 'cpu'}",
                "Writes": f"{', '.join(wanted)} {f'in {output_dir}' if output_dir else 'beside the media'}"
                + (", replacing existing files" if overwrite else ""),
            }
        )
    with _stop_on_ctrl_c() as stop:
        return _run(requests, wanted, output_dir, overwrite=overwrite, text=text and not quiet, quiet=quiet, stop=stop)


def _run(
    requests: list[SubtitleRequest],
    formats: list[str],
    output_dir: Path | None,
    *,
    overwrite: bool,
    text: bool,
    quiet: bool,
    stop: Event,
) -> int:
    codes: set[int] = set()
    statistics: list[tuple[Path, Mapping[str, float | str]]] = []
    claimed: dict[Path, Path] = {}
    for request in requests:
        try:
            events = ConsoleEvents(request.media.name, show_text=text, quiet=quiet, cancelled=stop.is_set)
            with events.shown():
                numbers, written = _one_file(request, events, formats, output_dir, claimed, overwrite=overwrite)
        except CancelledError as error:
            show_error(error)
            return error.code
        except SubtitleError as error:
            if stop.is_set():  # whatever Ctrl-C broke first
                return CancelledError.code
            show_error(error)
            codes.add(error.code)
            continue
        statistics.append((request.media, numbers))
        for path in written:
            say(str(path))
    if statistics and not quiet:
        show_statistics(statistics)
    if not codes:
        return 0
    if len(requests) > 1:
        stderr.print(f"{len(requests) - len(statistics)} of {len(requests)} files failed.")
    return codes.pop() if len(codes) == 1 else _SEVERAL_REASONS


def _one_file(
    request: SubtitleRequest,
    events: ConsoleEvents,
    formats: list[str],
    output_dir: Path | None,
    claimed: dict[Path, Path],
    *,
    overwrite: bool,
) -> tuple[Mapping[str, float | str], list[Path]]:
    from qwen_asr_plugin.backend import generate
    from qwen_asr_plugin.languages import iso_code

    check_media(request.media)
    known = iso_code(request.language) if request.language else None
    for kind in formats:  # before the long work; an unknown language still tells whether the folder can be written
        target = _target(request.media, known, kind, output_dir)
        if known:
            _claim(target, request.media, claimed)
        check_sidecar(target, overwrite=overwrite or known is None)
    with generate(request, events) as transcript:
        segments = list(transcript)
        statistics = dict(transcript.statistics)
        info = TranscriptInfo(
            backend=transcript.backend,
            model=str(statistics["model"]),
            language=transcript.language,
            duration_ms=transcript.duration_ms,
            statistics=statistics,
        )
    targets = [(_target(request.media, info.language, kind, output_dir), kind) for kind in formats]
    for path, _ in targets:  # all or none
        _claim(path, request.media, claimed)
        check_sidecar(path, overwrite=overwrite)
    new: list[Path] = []
    try:
        for path, kind in targets:
            fresh = not path.exists()
            write_sidecar(path, render(kind, segments, info), overwrite=overwrite)
            if fresh:
                new.append(path)
    except SubtitleError:  # a disk that fills up between two formats
        for path in new:
            path.unlink(missing_ok=True)
        raise
    return statistics, [path for path, _ in targets]


def _target(media: Path, language: str | None, kind: str, output_dir: Path | None) -> Path:
    beside = sidecar_path(media, language, f".{kind}")
    return output_dir / beside.name if output_dir else beside


def _claim(target: Path, media: Path, claimed: dict[Path, Path]) -> None:
    """Make sure that two files of one run do not write over each other."""
    other = claimed.setdefault(target.absolute(), media)
    if other != media:
        raise OutputExistsError(
            f"Its subtitles would replace those of {other}, made in this same run.",
            path=media,
            hint="Rename one of the two, or run them separately with -o.",
        )


def _formats(text: str) -> list[str]:
    wanted = list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    for kind in wanted:
        if kind not in FORMATS:
            raise RequestError(f"There is no format {kind!r}.", hint=f"Formats are: {', '.join(sorted(FORMATS))}.")
    if not wanted:
        raise RequestError("No format was named.", hint=f"Formats are: {', '.join(sorted(FORMATS))}.")
    return wanted


@contextmanager
def _stop_on_ctrl_c() -> Iterator[Event]:
    """Turn the first Ctrl-C into an orderly stop; the second one ends the program."""
    stop = Event()

    def ask(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
