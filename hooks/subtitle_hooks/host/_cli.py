# SPDX-License-Identifier: Apache-2.0
"""The command line of the reference host: arguments in, exit status out."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from subtitle_hooks import CancelledError, RequestError, SubtitleError, SubtitleHost

from ._plugins import add_plugins_parser, run_plugins
from ._run import MIXED_FAILURES, Job, run

__all__ = ["main"]

_DESCRIPTION = "Make subtitle files with any installed subtitle backend."
_EPILOG = """\
examples:
  subtitle-host plugins                         what is installed, and what is broken
  subtitle-host plugins install qwen-asr        get a backend from a plugin index
  subtitle-host run film.mkv                    writes film.<language>.srt beside the film
  subtitle-host run --language en *.mp4         a folder of films, all in English
"""
_RUN_EPILOG = f"""\
examples:
  subtitle-host run film.mkv
      Find out the language, write film.en.srt (or whatever it is) beside the film.
  subtitle-host run --language de --output-dir subs *.mkv
      Many films. The target is known, so existing files are noticed before any work.
  subtitle-host run --start 10:00 --duration 90 film.mkv
      Only the 90 seconds from minute ten, for a quick look.
  subtitle-host run --track-language ja --context "Chihiro, Haku, Yubaba" film.mkv
      Take the Japanese audio track, and get the names right.

The path of each file written goes to standard output, everything else to standard error.

exit status:
  0     every file has its subtitles
  N     all failures had the code N: 2 request, 10-18 media, 40-42 output, 50-55 plugins,
        100-125 the backend's own
  {MIXED_FAILURES}     several files failed for different reasons
  130   stopped with Ctrl-C; nothing is left half-written
"""
_TIME = re.compile(r"(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+)(?:\.(?P<ms>\d{1,3}))?")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        The exit status, see ``subtitle-host run --help``.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot show must not end the work.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape" if stream.encoding.lower() == "utf-8" else "backslashreplace")
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    try:
        if arguments.command == "plugins":
            return run_plugins(arguments)
        # Checked: a plugin that crashes or hangs while it is loaded must not keep the others from working.
        return run(SubtitleHost(strict=arguments.strict, check=True), _job(arguments))
    except SubtitleError as error:
        print(f"subtitle-host: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("subtitle-host: stopped.", file=sys.stderr)
        return CancelledError.code


def _job(arguments: argparse.Namespace) -> Job:
    return Job(
        media=tuple(arguments.media),
        backend=arguments.backend,
        language=arguments.language,
        track=arguments.track,
        track_language=arguments.track_language,
        context=arguments.context,
        start_ms=arguments.start,
        duration_ms=arguments.duration,
        start_at_ms=arguments.start_at,
        model=arguments.model,
        norm=arguments.norm,
        options=_options(arguments.option),
        overwrite=arguments.overwrite,
        output_dir=arguments.output_dir,
        quiet=arguments.quiet,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="subtitle-host",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and stop")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser(
        "run",
        help="make subtitles for media files",
        description="Make one subtitle file per media file.",
        epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("media", nargs="+", type=Path, metavar="MEDIA", help="audio or video file")
    add("--backend", metavar="NAME", help="backend to use (default: the first by name, see 'subtitle-host plugins')")
    add("--language", metavar="CODE", help="language spoken, e.g. en (default: let the backend find out)")
    add("--track", type=_count, metavar="N", help="audio track by number, counting audio tracks from 0")
    add("--track-language", metavar="CODE", help="audio track by its language")
    add("--context", default="", metavar="TEXT", help="names and terms that may occur")
    add("--start", type=_milliseconds, default=0, metavar="TIME", help="where to start: seconds or [hh:]mm:ss[.fff]")
    add("--duration", type=_milliseconds, metavar="TIME", help="how much to work on from there (default: to the end)")
    add("--start-at", type=_milliseconds, default=0, metavar="TIME", help="which place of that to work on first")
    add("--model", metavar="NAME", help="model of the backend (default: the backend's choice)")
    add("--norm", default="default", metavar="NAME", help="subtitle norm that cues must keep to")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="option of the backend; may be repeated")
    add("--overwrite", action="store_true", help="replace subtitle files that exist")
    add("--output-dir", type=Path, metavar="DIR", help="folder for the subtitle files (default: beside the media)")
    add("--strict", action="store_true", help="stop if any installed plugin is broken")
    add("--quiet", "-q", action="store_true", help="no progress, only errors and the paths written")

    add_plugins_parser(
        commands.add_parser(
            "plugins",
            help="list, find, install, update and remove plugins",
            description="List the installed backends and what is broken, or do what COMMAND says.",
        )
    )
    return parser


class _Version(argparse.Action):
    # The action of argparse wants the version beforehand, which costs a look at the metadata in every run.
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"subtitle-host {version('subtitle-hooks')}")
        parser.exit()


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _milliseconds(text: str) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; use seconds (90.5) or [hh:]mm:ss[.fff] (1:30.5)")
    hours, minutes, seconds = (int(found[name] or 0) for name in ("h", "m", "s"))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((found["ms"] or "").ljust(3, "0"))


def _options(pairs: Sequence[str]) -> dict[str, object]:
    options: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise RequestError(f"--option {pair!r} is not KEY=VALUE.", hint="For example: --option threads=2")
        if key in options:
            raise RequestError(f"--option {key} is given twice.")
        options[key] = value
    return options
