# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin mpv``: put the script for mpv in its place, take it away, and do what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from subtitle_hooks import RequestError, SubtitleRequest

from .console import say, stderr
from .stopping import stop_on_signals

__all__ = ["mpv_app"]

mpv_app = typer.Typer(
    no_args_is_help=True,
    help="Subtitles for what plays in mpv, while it plays: install the script, then press Alt+t in mpv.\n\n"
    "Options and other keys: docs/how-to/mpv.md.",
)

ConfigDir = Annotated[
    Path | None, typer.Option(help="mpv's configuration folder; found by mpv's own rules if left out.")
]


@mpv_app.command()
def install(
    *,
    config_dir: ConfigDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a script that somebody has changed.")] = False,
) -> None:
    """Put the script where mpv loads it from, and print where that is.

    Writes one file, scripts/qwen-asr.lua, which starts the qwen-asr-plugin of this environment. Run it again after
    upgrades.
    """
    from qwen_asr_plugin.integrations.mpv import install_script

    done = install_script(config_dir, force=force)
    say(str(done.path))
    stderr.print(
        f"{'Installed' if done.changed else 'It was there already'}; it starts {done.command}.\n"
        "Restart mpv, then press Alt+t while something plays. Alt+T (with Shift) stops the work.",
        soft_wrap=True,
        markup=False,
    )


@mpv_app.command()
def uninstall(
    *,
    config_dir: ConfigDir = None,
    force: Annotated[bool, typer.Option("--force", help="Remove also a script that somebody has changed.")] = False,
) -> None:
    """Remove the script."""
    from qwen_asr_plugin.integrations.mpv import script_path, uninstall_script

    removed = uninstall_script(config_dir, force=force)
    if removed is None:
        stderr.print(f"There is no {script_path(config_dir)}.", soft_wrap=True, markup=False)
    else:
        say(str(removed))


@mpv_app.command()
def path(*, config_dir: ConfigDir = None) -> None:
    """Print where the script belongs. Writes nothing."""
    from qwen_asr_plugin.integrations.mpv import script_path

    say(str(script_path(config_dir)))


@mpv_app.command()
def run(
    media: Annotated[Path, typer.Argument(help="The media file.")],
    *,
    job: Annotated[
        Path,
        typer.Option(
            help="An existing file. JOB.srt grows beside it, JOB.json says how far it is; all ends when it is removed."
        ),
    ],
    start_at: Annotated[float, typer.Option(min=0, help="Which place to work on first, seconds.")] = 0.0,
    track: Annotated[int | None, typer.Option(min=0, help="Audio track, counted from 0.")] = None,
    audio_language: Annotated[str | None, typer.Option(help="Language that mpv knows of this track.")] = None,
    video: Annotated[
        Path | None, typer.Option(help="File to name the subtitles after, where it is not the media.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Spoken language; found out if left out.")] = None,
    norm: Annotated[str, typer.Option(help="Rules the cues are built by.")] = "default",
    context: Annotated[str, typer.Option(help="Names and terms that may occur, as plain text.")] = "",
    model_dir: Annotated[Path | None, typer.Option(help="Folder of a model bundle.")] = None,
    output_dir: Annotated[Path | None, typer.Option(help="Where the subtitle file goes; made where missing.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a subtitle file.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Do not offer the subtitle file that is there.")] = False,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the engine; repeatable.")] = None,
) -> int:
    """Do what the script asks for; not for typing.

    Ends with the program that reads its standard output, when JOB is removed, and with Ctrl-C or SIGTERM.
    """
    from qwen_asr_plugin.integrations.mpv import CueWork, make_cues

    options: dict[str, object] = {}
    for text in option or ():
        name, sign, value = text.partition("=")
        if not sign:
            raise RequestError(f"{text!r} is not an option.", hint="Write NAME=VALUE.")
        options[name.strip()] = value
    work = CueWork(
        request=SubtitleRequest(
            media=media,
            track=track,
            language=language,
            norm=norm,
            context=context,
            start_at_ms=round(start_at * 1000),
            model=None if model_dir is None else str(model_dir),
            options=options,
        ),
        job_file=job,
        video=video,
        audio_language=audio_language,
        folder=output_dir,
        reuse=not again,
        overwrite=overwrite,
    )
    with stop_on_signals() as stop:
        return make_cues(work, stop)
