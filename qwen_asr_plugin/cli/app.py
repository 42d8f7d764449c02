# SPDX-License-Identifier: Apache-2.0
"""The commands and their common frame: version, errors, exit statuses."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from subtitle_hooks import SubtitleError

from .check import check
from .console import show_error
from .doctor import doctor
from .model import model_app
from .mpv import mpv_app
from .mux import mux
from .native import native_app
from .transcribe import transcribe
from .tune import tune

__all__ = ["app", "run"]

app = typer.Typer(
    name="qwen-asr-plugin",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Make subtitles for any media file on this computer with Qwen3-ASR.\n\n"
        "Try it: [bold]qwen-asr-plugin transcribe video.mp4[/bold] writes video.en.srt beside the video.\n\n"
        "Exit status: 0 all well; the code of the error when everything that failed failed for one reason; "
        "9 for several reasons; 130 after Ctrl-C or SIGTERM. docs/errors.md lists the codes."
    ),
)
app.command()(transcribe)
app.command()(check)
app.command()(mux)
app.command()(doctor)
app.command()(tune)
app.add_typer(model_app, name="model")
app.add_typer(native_app, name="native")
app.add_typer(mpv_app, name="mpv")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qwen-asr-plugin {metadata.version('qwen-asr-plugin')}")
        raise typer.Exit


@app.callback()
def _frame(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Make subtitles for any media file on this computer with Qwen3-ASR."""


def run() -> int:
    """Run the command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a character of the text must not end the work.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        status = app(standalone_mode=False)
    except SubtitleError as error:
        show_error(error)
        return error.code
    except (typer.Abort, typer.Exit) as stop:
        return getattr(stop, "exit_code", 1)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "show"):  # click's usage errors
            error.show()
            return int(getattr(error, "exit_code", 2))
        raise
    return status if isinstance(status, int) else 0
