# SPDX-License-Identifier: Apache-2.0
"""What the post-processor for yt-dlp does; the class yt-dlp loads is in ``yt_dlp_plugins``."""

from __future__ import annotations

import contextlib
import dataclasses
import optparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from yt_dlp.utils import PostProcessingError, subtitles_filename

from qwen_asr_plugin.integrations.audio_tracks import track_in
from qwen_asr_plugin.languages import iso_code, model_name, same_language, try_iso_code
from qwen_asr_plugin.media import find_ffmpeg
from qwen_asr_plugin.media.stream_list import list_streams
from qwen_asr_plugin.options import EngineOptions, parse_options
from qwen_asr_plugin.subtitles import TranscriptInfo, get_norm, render
from subtitle_hooks import (
    AudioTrackInfo,
    CancelledError,
    LogLevel,
    NoAudioError,
    OutputExistsError,
    Progress,
    RequestError,
    SilentEvents,
    SubtitleError,
    SubtitleHost,
    SubtitleRequest,
    write_sidecar,
)

__all__ = ["Settings", "Subtitler"]

_BACKEND: Final = "qwen-asr"
_FORMATS: Final = ("srt", "vtt", "ass")
"""Formats that yt-dlp can put into a container."""
_SUBTITLE_FILES: Final = frozenset({"ass", "dfxp", "lrc", "sbv", "srt", "srv1", "srv2", "srv3", "ssa", "ttml", "vtt"})
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is written after the name of the post-processor.

    Attributes:
        lang: Language spoken, which also chooses the audio track; None finds it out.
        track: Audio track by number, counting audio tracks from 0; wins over `lang`.
        norm: Name of the subtitle norm.
        context: Names and terms that may occur.
        model: Folder of a model bundle; None is the one that came with the plugin.
        format: ``srt``, ``vtt`` (for WebM, which takes no other) or ``ass``.
        only_if_missing: Leave out videos that have subtitles in the language already.
        options: Everything else: options of the backend, see `EngineOptions`.
    """

    lang: str | None = None
    track: int | None = None
    norm: str = "default"
    context: str = ""
    model: str | None = None
    format: str = "srt"
    only_if_missing: bool = True
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Settings:
        """Check what the user wrote.

        Raises:
            RequestError: An unknown name or an impossible value.
        """
        own = {one.name for one in dataclasses.fields(cls)} - {"options"}
        backend = {one.name for one in dataclasses.fields(EngineOptions)}
        for name in values:
            if name.replace("-", "_") not in own | backend:
                raise RequestError(
                    f"There is no option {name!r}.", hint=f"Options are: {', '.join(sorted(own | backend))}."
                )
        given: dict[str, Any] = {name: value for name, value in values.items() if name in own and value is not None}
        options = {name: value for name, value in values.items() if name not in own}
        if "lang" in given:
            given["lang"] = iso_code(str(given["lang"]))
        if "track" in given:
            if not str(given["track"]).isdecimal():
                raise RequestError(f"Option track is {given['track']!r}, but must be a number from 0.")
            given["track"] = int(given["track"])
        if "only_if_missing" in given:
            given["only_if_missing"] = _yes(given["only_if_missing"])
        settings = cls(**given, options=options)
        if settings.format not in _FORMATS:
            raise RequestError(f"Option format is {settings.format!r}, but must be one of: {', '.join(_FORMATS)}.")
        get_norm(settings.norm)
        parse_options(options)
        return settings


class Subtitler:
    """Makes the subtitles of one post-processor.

    Args:
        postprocessor: The `yt_dlp.postprocessor.PostProcessor` to speak through.
        values: Names and values as the user gave them.

    Raises:
        optparse.OptionValueError: One of them is impossible. yt-dlp shows it and ends with its status for wrong usage.
    """

    def __init__(self, postprocessor: Any, values: Mapping[str, object]) -> None:
        self._pp = postprocessor
        self._host: SubtitleHost | None = None
        try:
            self._settings = Settings.parse(values)
        except RequestError as error:
            raise optparse.OptionValueError(f"ERROR: {postprocessor.PP_NAME} error {error.code}: {error}\n") from error

    def add_to(self, info: dict[str, Any]) -> None:
        """Make the subtitles of one download and enter them into its info dict.

        Raises:
            PostProcessingError: That was not possible.
        """
        if not info.get("filepath"):
            raise PostProcessingError(
                f"{self._pp.PP_NAME} needs a file: run it when=post_process (the default) or when=after_move"
            )
        if info["filepath"] == "-":
            self._pp.to_screen("Skipping: what goes to standard output gets no subtitle file")
            return
        try:
            self._work(Path(info["filepath"]), info)
        except NoAudioError as error:
            self._pp.report_warning(f"{self._pp.PP_NAME}: {error}")
        except SubtitleError as error:
            raise PostProcessingError(f"{self._pp.PP_NAME} error {error.code}: {error}") from error

    def _work(self, media: Path, info: dict[str, Any]) -> None:
        base = self._base(info)
        if not base:
            self._pp.to_screen("Skipping: the output template for subtitles is empty")
            return
        wanted = self._settings.lang
        if self._settings.only_if_missing and self._has_subtitles(media, info, base):
            return
        if wanted and self._overwrites is False and self._target(base, wanted, info).exists():
            self._use_existing(self._target(base, wanted, info), info)
            return
        events = _Events(self._pp, info)
        host = self._host = self._host or SubtitleHost()
        request = SubtitleRequest(
            media=media,
            track=self._settings.track,
            language=wanted,
            norm=self._settings.norm,
            context=self._settings.context,
            model=self._settings.model,
            options=self._settings.options,
        )
        if wanted and request.track is None:
            tracks = _with_known_languages(host.probe(request, backend=_BACKEND).tracks, info)
            request = replace(request, track=self._track(wanted, tracks), track_language=wanted)
        self._pp.to_screen(f'Making subtitles for "{media}"')
        with events.passed_on(), host.generate(request, events, backend=_BACKEND) as transcript:
            segments = list(transcript)
            language = wanted or transcript.language or "und"
            statistics = dict(transcript.statistics)
        if not segments:
            self._pp.to_screen("Nobody speaks in it: there is nothing to write")
            return
        details = TranscriptInfo(
            backend=transcript.backend,
            model=str(statistics.get("model") or ""),
            language=language,
            duration_ms=transcript.duration_ms,
            statistics=statistics,
        )
        target = self._target(base, language, info)
        with contextlib.suppress(OSError):  # writing says better what is wrong
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_sidecar(
                target, render(self._settings.format, segments, details), overwrite=self._overwrites is not False
            )
        except OutputExistsError as error:
            self._use_existing(Path(error.path or target), info)
            return
        self._pp.to_screen(f"Writing subtitles to: {target}")
        self._enter(target, language, info)
        if self._embedding == "too late":
            self._pp.report_warning(
                f"{self._pp.PP_NAME}: --embed-subs comes before when=after_move; leave that out to have the subtitles "
                "embedded"
            )

    def _base(self, info: dict[str, Any]) -> str:
        """Name of the media file as yt-dlp makes it for subtitles: with ``--paths subtitle:`` and ``-o subtitle:``."""
        downloader = self._pp._downloader  # noqa: SLF001 - the attribute yt-dlp's own post-processors use
        return str(downloader.prepare_filename(info, "subtitle") if downloader else info["filepath"])

    def _target(self, base: str, language: str, info: dict[str, Any]) -> Path:
        return Path(subtitles_filename(base, language, self._settings.format, info.get("ext")))

    def _track(self, wanted: str, tracks: tuple[AudioTrackInfo, ...]) -> int | None:
        """Choose the track; None leaves the backend to say that there is none in that language."""
        chosen = track_in(wanted, tracks)
        if chosen is None and len(tracks) == 1:
            (chosen,) = tracks
            self._pp.report_warning(
                f"{self._pp.PP_NAME}: the only audio track is marked as {chosen.language}, not as {wanted}"
            )
        return None if chosen is None else chosen.index

    def _has_subtitles(self, media: Path, info: dict[str, Any], base: str) -> bool:
        for language, subtitles in (info.get("requested_subtitles") or {}).items():
            if subtitles.get("filepath") and subtitles.get("ext") != "json" and self._is_wanted(language):
                self._pp.to_screen(f"Skipping: subtitles ({language}) were downloaded")
                return True
        # A file of an earlier run goes the way --force-overwrites wants.
        for path in () if self._overwrites else self._sidecars(base, info):
            self._use_existing(path, info)
            return True
        tools = find_ffmpeg(parse_options(self._settings.options).ffmpeg)
        for stream in list_streams(media, tools).of("subtitle"):
            if self._is_wanted(stream.language or ""):
                self._pp.to_screen(f"Skipping: subtitles ({stream.language or 'language not marked'}) are in the file")
                return True
        return False

    def _sidecars(self, base: str, info: dict[str, Any]) -> Iterator[Path]:
        """Yield subtitle files of this video, and of the language asked for."""
        example = Path(subtitles_filename(base, "und", "srt", info.get("ext")))
        stem = example.name.removesuffix("und.srt")
        try:
            names = sorted(os.listdir(example.parent))  # noqa: PTH208 - names, not paths
        except OSError:
            return
        for name in names:
            tags, _, extension = name.removeprefix(stem).rpartition(".")
            if (
                name.startswith(stem)
                and extension.lower() in _SUBTITLE_FILES
                and self._is_wanted(tags.partition(".")[0])
            ):
                yield example.with_name(name)

    def _is_wanted(self, language: str) -> bool:
        return self._settings.lang is None or same_language(language, self._settings.lang)

    def _use_existing(self, path: Path, info: dict[str, Any]) -> None:
        self._pp.to_screen(f"Skipping: subtitles are already present: {path}")
        language = path.name.split(".")[-2] if path.name.count(".") > 1 else ""
        # yt-dlp deletes what it has embedded unless --write-subs is given: not a file that was there before.
        if self._embedding == "keeping" and try_iso_code(language):
            self._enter(path, language, info)

    def _enter(self, path: Path, language: str, info: dict[str, Any]) -> None:
        code = try_iso_code(language)
        name = f"{model_name(code)} (Qwen3-ASR)" if code else "Qwen3-ASR"
        entry = {"ext": path.suffix[1:], "filepath": str(path), "name": name}
        info["requested_subtitles"] = {**(info.get("requested_subtitles") or {}), language: entry}

    @property
    def _overwrites(self) -> bool | None:
        """``--force-overwrites``, ``--no-overwrites``, or neither: then yt-dlp replaces all but the media."""
        value: bool | None = self._pp.get_param("overwrites")
        return value

    @property
    def _embedding(self) -> str:
        """How a file entered now will be embedded: "deleting" or "keeping" it, not at all (empty), or "too late"."""
        chain = {one["key"]: one for one in self._pp.get_param("postprocessors") or ()}
        embedder, own = chain.get("FFmpegEmbedSubtitle"), chain.get(self._pp.PP_NAME)
        if embedder is None:
            return ""
        if own and own.get("when", "post_process") not in ("post_process", embedder.get("when")):
            return "too late"
        return "keeping" if embedder.get("already_have_subtitle") else "deleting"


class _Events(SilentEvents):
    """Tells yt-dlp's hooks how far the work is; a hook that raises, as hooks do to stop yt-dlp, ends the work."""

    def __init__(self, postprocessor: Any, info: dict[str, Any]) -> None:
        self._pp = postprocessor
        self._info = postprocessor._copy_infodict(info)  # noqa: SLF001 - as yt-dlp does for its own reports
        self._percent = -1
        self._raised: BaseException | None = None

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[None]:
        """Let what a hook raised come out of the block."""
        try:
            yield
        except CancelledError:
            if self._raised is not None:
                raise self._raised from None
            raise

    def progress(self, progress: Progress) -> None:
        if not progress.total_ms or self._raised is not None:
            return
        percent = 100 * progress.done_ms / progress.total_ms
        if int(percent) == self._percent:
            return
        self._percent = int(percent)
        status = {
            "status": "processing",
            "stage": progress.stage,
            "done_ms": progress.done_ms,
            "total_ms": progress.total_ms,
            "_percent": percent,
            "_percent_str": f"{percent:5.1f}%",
        }
        try:
            self._pp._hook_progress(status, self._info)  # noqa: SLF001 - yt-dlp's way to report progress
        except BaseException as error:  # noqa: BLE001 - hooks stop yt-dlp with whatever they like
            self._raised = error

    def log(self, level: LogLevel, message: str) -> None:
        if level in ("warning", "error"):
            self._pp.report_warning(f"{self._pp.PP_NAME}: {message}")
        else:
            self._pp.write_debug(f"[{self._pp.PP_NAME}] {message}")

    def cancelled(self) -> bool:
        return self._raised is not None


def _with_known_languages(tracks: tuple[AudioTrackInfo, ...], info: dict[str, Any]) -> tuple[AudioTrackInfo, ...]:
    """Add what yt-dlp knows: it does not mark the tracks it merges, but keeps them in the order of their formats."""
    formats = [one for one in info.get("requested_formats") or [info] if one.get("acodec") != "none"]
    if len(formats) != len(tracks):
        return tracks
    return tuple(
        replace(track, language=track.language or one.get("language"))
        for track, one in zip(tracks, formats, strict=True)
    )


def _yes(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise RequestError(f"Option only_if_missing is {text!r}, but must be yes or no.")
    return text in _TRUE
