# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin transcribe``: files in, subtitles beside them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Final

import typer

from qwen_asr_plugin.media import PipedMedia
from qwen_asr_plugin.subtitles import FORMATS, TranscriptInfo
from subtitle_hooks import (
    LANGUAGE_FORMS,
    CancelledError,
    OutputNotWritableError,
    Progress,
    RequestError,
    Segment,
    SubtitleError,
    SubtitleRequest,
    check_media,
    in_time_order,
)

from .console import ConsoleEvents, show_configuration, show_statistics, stderr
from .outputs import Outputs, StandardOutput
from .reports import EventReport, Report
from .stopping import stop_on_signals

__all__ = ["transcribe"]

_SEVERAL_REASONS: Final = 9
_STANDARD: Final = Path("-")
_PIPE_STEM: Final = Path("stdin")


def transcribe(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Media files: whatever ffmpeg reads; - is standard input.")
    ],
    *,
    formats: Annotated[
        str, typer.Option("--format", "-f", help=f"What to write, comma separated: {', '.join(sorted(FORMATS))}.")
    ] = "srt",
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="Write there instead of beside the media; - is standard output."),
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
    start_at: Annotated[
        float, typer.Option(min=0, help="Make the subtitles from here on first, then those before, seconds.")
    ] = 0.0,
    norm: Annotated[str, typer.Option(help="Rules the cues are built by.")] = "default",
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Word in the file name after the language: forced, sdh...")
    ] = None,
    name_language: Annotated[
        str, typer.Option(help=f"How file names write the language: {', '.join(LANGUAGE_FORMS)}.")
    ] = LANGUAGE_FORMS[0],
    bom: Annotated[bool, typer.Option("--bom", help="Begin files with a byte order mark, for old players.")] = False,
    crlf: Annotated[bool, typer.Option("--crlf", help="End lines with CR LF, for old players.")] = False,
    embed: Annotated[
        bool, typer.Option("--embed", help="Also write FILE.subtitled with the subtitles in it, nothing encoded again.")
    ] = False,
    burn_in: Annotated[
        bool, typer.Option("--burn-in", help="Also write FILE.subtitled with the subtitles drawn into the picture.")
    ] = False,
    default_track: Annotated[
        bool, typer.Option("--default-track", help="Mark embedded subtitles as those to show without being asked.")
    ] = False,
    replace_input: Annotated[
        bool, typer.Option("--replace-input", help="With --embed or --burn-in: in the place of FILE itself.")
    ] = False,
    itn: Annotated[bool, typer.Option("--itn/--no-itn", help="Write Chinese numerals as digits, in Chinese.")] = True,
    chinese_script: Annotated[
        str | None, typer.Option(help="Write Chinese in simplified or traditional characters (needs opencc).")
    ] = None,
    remove_fillers: Annotated[
        bool, typer.Option("--remove-fillers", help='Leave out "um" and the like (en, zh, ja, de, fr, es).')
    ] = False,
    raw_rate: Annotated[
        int | None, typer.Option(help="Standard input is raw s16le samples, so many per second.")
    ] = None,
    raw_channels: Annotated[int, typer.Option(help="Channels of raw samples.")] = 1,
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
    aligner: Annotated[
        str,
        typer.Option(
            help="Where word times come from: auto is the model's forced aligner, off estimates them from voice "
            "activity, else the folder of a bundle with an aligner."
        ),
    ] = "auto",
    check_alignment: Annotated[
        bool,
        typer.Option(help="Estimate word times where the aligner leaves much of the speech without words."),
    ] = True,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per physical core this process may use.")] = 0,
    lanes: Annotated[int, typer.Option(min=0, help="Chunks at the same time; 0 chooses.")] = 0,
    nice: Annotated[bool, typer.Option("--nice", help="Let other programs on this computer go first.")] = False,
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
    events: Annotated[
        bool, typer.Option("--events", help="Print what happens as lines of JSON, for programs that start this one.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors, warnings and the paths written only.")] = False,
) -> int:
    """Make subtitles for media files.

    Writes FILE's name with the language and .srt beside it, never over an existing file unless told to (-y). A file
    that fails does not stop the next one.

    [bold]Examples[/bold]

    qwen-asr-plugin transcribe talk.mp4

    qwen-asr-plugin transcribe film.mkv --track-language eng -f srt,txt -y

    qwen-asr-plugin transcribe *.mp3 --language en --context "Ada Lovelace, Babbage" -o subs

    qwen-asr-plugin transcribe long.mp4 --start 600 --duration 60

    qwen-asr-plugin transcribe film.mkv --embed --default-track

    ffmpeg -i URL -f wav - | qwen-asr-plugin transcribe - > out.srt
    """
    to_stdout = output_dir == _STANDARD or (_STANDARD in files and output_dir is None)
    with stop_on_signals() as stop, _report(stop, events=events, text=text and not to_stdout, quiet=quiet) as report:
        pipe = _source(files, raw_rate, raw_channels, report.cancelled)
        wanted = _formats(formats if timestamps else "txt")
        if not all(math.isfinite(seconds) for seconds in (start, duration or 0.0, start_at)):
            raise RequestError("The time range is impossible.", hint="start, duration and start-at are seconds.")
        options: dict[str, Any] = {
            "precision": precision,
            "quant": quant,
            "aligner": aligner,
            "check_alignment": check_alignment,
            "libllama": libllama,
            "onnx_provider": "dml" if dml else provider.lower(),
            "device": device or ("gpu" if gpu else None),
            "allow_fallback": allow_fallback,
            "threads": threads,
            "lanes": lanes,
            "nice": nice,
            "ffmpeg": ffmpeg,
            "allow_damaged": allow_damaged,
        }
        if not itn:
            options["itn"] = False
        if chinese_script:
            options["chinese_script"] = chinese_script
        if remove_fillers:
            options["remove_fillers"] = True
        requests = [
            SubtitleRequest(
                media=file if pipe is None else _PIPE_STEM,
                track=track,
                track_language=track_language,
                language=language,
                context=context,
                start_ms=round(start * 1000),
                duration_ms=None if duration is None else round(duration * 1000),
                start_at_ms=round(start_at * 1000),
                norm=norm,
                model=None if model_dir is None else str(model_dir),
                options={name: value for name, value in options.items() if value is not None},
            )
            for file in files
        ]
        form = next((form for form in LANGUAGE_FORMS if form == name_language), None)
        if form is None:
            raise RequestError(
                f"There is no way {name_language!r} to write languages.",
                hint=f"Use one of: {', '.join(LANGUAGE_FORMS)}.",
            )
        if to_stdout and events:
            raise RequestError(
                "Standard output takes subtitles or --events, not both.", hint="Choose a folder with -o."
            )
        if (embed and burn_in) or ((embed or burn_in) and pipe is not None):
            raise RequestError("--embed and --burn-in exclude each other, and both need a file.")
        outputs: Outputs | StandardOutput
        if to_stdout:
            if len(files) > 1 or len(wanted) > 1 or embed or burn_in:
                raise RequestError("Standard output takes one format of one file.", hint="Choose a folder with -o.")
            outputs = StandardOutput(wanted[0], bom=bom, crlf=crlf)
        else:
            outputs = Outputs(
                formats=tuple(wanted),
                folder=output_dir,
                overwrite=overwrite,
                bom=bom,
                crlf=crlf,
                form=form,
                tags=tuple(tags or ()),
                embed=embed,
                burn_in=burn_in,
                replace_input=replace_input,
                default=default_track,
                ffmpeg=ffmpeg,
            )
        if not quiet:
            to = (
                "to standard output"
                if isinstance(outputs, StandardOutput)
                else f"in {output_dir}"
                if output_dir
                else ""
            )
            show_configuration(
                {
                    "Files": f"{len(files)}: {', '.join(f.name for f in files[:3])}{'...' if len(files) > 3 else ''}",
                    "Model": str(model_dir or "bundled default"),
                    "Precision": f"encoder {precision or 'bundle default'}, decoder {quant or 'bundle default'}",
                    "Language": language or "found out",
                    "Devices": f"encoder {options['onnx_provider']}, decoder {options['device'] or 'cpu'}",
                    "Writes": f"{', '.join(wanted)} {to or 'beside the media'}"
                    + (", replacing existing files" if overwrite else ""),
                }
            )
        return report.end(_run(requests, outputs, pipe, report, quiet=quiet))


def _report(stop: Event, *, events: bool, text: bool, quiet: bool) -> Report:
    return EventReport(stop, quiet=quiet) if events else Report(stop, show_text=text and not quiet, quiet=quiet)


def _run(
    requests: list[SubtitleRequest],
    outputs: Outputs | StandardOutput,
    pipe: PipedMedia | None,
    report: Report,
    *,
    quiet: bool,
) -> int:
    codes: set[int] = set()
    statistics: list[tuple[Path, Mapping[str, float | str]]] = []
    claimed: dict[Path, Path] = {}
    for request in requests:
        try:
            events = report.begin(request.media)
            with events.shown():
                numbers, written = _one_file(request, events, outputs, claimed, pipe)
        except SubtitleError as error:
            if report.reader_gone():
                raise OutputNotWritableError("Standard output cannot be written; nobody reads the events.") from error
            if report.cancelled() and not isinstance(error, CancelledError):
                return CancelledError.code  # whatever Ctrl-C broke first
            report.error(error)
            if isinstance(error, CancelledError):
                return error.code
            codes.add(error.code)
            continue
        statistics.append((request.media, numbers))
        for path in written:
            report.written(path)
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
    outputs: Outputs | StandardOutput,
    claimed: dict[Path, Path],
    pipe: PipedMedia | None,
) -> tuple[Mapping[str, float | str], list[Path]]:
    from qwen_asr_plugin.backend import generate
    from qwen_asr_plugin.languages import iso_code

    source: dict[str, Any] = {}
    if pipe is None:
        check_media(request.media)
    else:
        source["pipe"] = pipe
    if isinstance(outputs, Outputs):
        outputs.check(request.media, iso_code(request.language) if request.language else None, claimed)
    segments: list[Segment] = []
    with generate(request, events, **source) as transcript:
        if isinstance(outputs, StandardOutput):
            outputs.begin()
            for segment in in_time_order(transcript) if request.start_at_ms else transcript:
                outputs.add(segment)
        else:
            segments += in_time_order(transcript)
        if events.cancelled():  # which ends a pipe early
            raise CancelledError("Stopped as asked.")
        statistics = dict(transcript.statistics)
        info = TranscriptInfo(
            backend=transcript.backend,
            model=str(statistics["model"]),
            language=transcript.language,
            duration_ms=transcript.duration_ms,
            statistics=statistics,
        )
    if isinstance(outputs, StandardOutput):
        outputs.finish(info)
        return statistics, []
    written = outputs.write(
        request.media,
        segments,
        info,
        claimed,
        on_progress=lambda done_ms: events.progress(Progress(stage="mux", done_ms=done_ms)),
        warn=lambda warning: events.log("warning", warning),
        cancelled=events.cancelled,
    )
    return statistics, written


def _source(
    files: list[Path], raw_rate: int | None, raw_channels: int, cancelled: Callable[[], bool]
) -> PipedMedia | None:
    """Return standard input where it is asked for as media."""
    if _STANDARD not in files:
        if raw_rate is not None:
            raise RequestError("--raw-rate is for samples from standard input.", hint="Give - as the file.")
        return None
    if len(files) > 1:
        raise RequestError("Standard input (-) cannot be mixed with files.", hint="Run them separately.")
    if sys.stdin is None or sys.stdin.isatty():
        raise RequestError("Standard input is a terminal, not media.", hint="Pipe media into it: ffmpeg ... -f wav - |")
    return PipedMedia(sys.stdin.fileno(), raw_rate_hz=raw_rate, raw_channels=raw_channels, cancelled=cancelled)


def _formats(text: str) -> list[str]:
    wanted = list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    for kind in wanted:
        if kind not in FORMATS:
            raise RequestError(f"There is no format {kind!r}.", hint=f"Formats are: {', '.join(sorted(FORMATS))}.")
    if not wanted:
        raise RequestError("No format was named.", hint=f"Formats are: {', '.join(sorted(FORMATS))}.")
    return wanted
