# SPDX-License-Identifier: Apache-2.0
"""A provider for subliminal that makes the subtitles it offers."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, ClassVar, Final

from babelfish import Language
from subliminal.exceptions import ConfigurationError
from subliminal.providers import Provider
from subliminal.subtitle import Subtitle
from subliminal.video import Episode, Video

from qwen_asr_plugin.integrations.audio_tracks import track_in
from qwen_asr_plugin.languages import ISO_CODES, try_iso_code
from qwen_asr_plugin.options import parse_options
from qwen_asr_plugin.subtitles import get_norm
from subtitle_hooks import AudioTrackInfo, RequestError, SubtitleError, SubtitleHost, SubtitleRequest, render_srt

__all__ = ["QwenASRProvider", "QwenASRSubtitle", "language_of", "spoken_code"]

_BACKEND: Final = "qwen-asr"
_NAME: Final = "qwenasr"
_SURE_AFTER: Final = 20
"""Cues after which the language heard most is taken for that of the film."""

# subliminal's --debug and --logfile show what is logged below its own name.
_log = logging.getLogger(f"subliminal.providers.{_NAME}")


def language_of(code: str) -> Language:
    """Return the babelfish language of one of the model's ISO codes."""
    return Language.fromietf(code)


def spoken_code(language: Language) -> str | None:
    """Return the model's code for what somebody wants to read, None where it cannot write that.

    Countries do not matter, scripts do: Chinese comes in simplified characters.
    """
    code = try_iso_code(str(language.alpha3))
    script = None if language.script is None else language.script.code
    country = None if language.country is None else language.country.alpha2
    if code == "zh":
        return code if script in (None, "Hans") and (script or country not in ("TW", "HK", "MO")) else None
    return code if script is None else None


class QwenASRSubtitle(Subtitle):
    """Subtitles that do not exist yet.

    Attributes:
        media: The video file.
        track: The audio track to listen to.
        code: The model's code of the language.
        marked: The file says that the track is in this language; otherwise the model has to find out.
    """

    provider_name: ClassVar[str] = _NAME

    def __init__(self, language: Language, media: Path, track: AudioTrackInfo, code: str) -> None:
        super().__init__(
            language,
            f"{media}:{track.index}:{language}",
            hearing_impaired=False,
            foreign_only=False,
            encoding="utf-8",
            subtitle_format="srt",
        )
        self.media = media
        self.track = track
        self.code = code
        self.marked = bool(track.language)

    @property
    def info(self) -> str:
        """What lists show."""
        return f"made from audio track {self.track.index} of {self.media.name}"

    def get_matches(self, video: Video) -> set[str]:
        """Match the work itself: what was made for this very file loses against a hash and a release group only."""
        if self.media != Path(video.name):
            return set()
        own = {"series", "season", "episode"} if isinstance(video, Episode) else {"title"}
        return own | {"year", "country"}


class QwenASRProvider(Provider):
    """Offers subtitles for local files with speech, and makes them when they are downloaded.

    :param str norm: Name of the subtitle norm, or a TOML file with one.
    :param str context: Names and terms that may occur.
    :param str model: Folder of a model bundle.
    :param str precision: Encoder precision.
    :param str quant: Decoder quantisation.
    :param str aligner: auto, off, or the folder of a bundle with a forced aligner.
    :param str libllama: Provider name, library file or folder of libllama.
    :param str onnx_provider: Execution provider of the encoder.
    :param str device: Device of the decoder.
    :param int threads: Threads for all chunks together, 0 chooses.
    :param int lanes: Chunks recognised at the same time, 0 chooses.
    :param str ffmpeg: Path of the ffmpeg program.
    :param bool allow_damaged: Take what can be decoded of a damaged file.
    """

    languages: ClassVar[AbstractSet[Language]] = frozenset(language_of(code) for code in ISO_CODES)
    subtitle_class: ClassVar[Any] = QwenASRSubtitle

    # subliminal makes its command line options, variables and configuration keys from this signature.
    def __init__(
        self,
        norm: str = "default",
        context: str = "",
        model: str | None = None,
        precision: str | None = None,
        quant: str | None = None,
        aligner: str | None = None,
        libllama: str | None = None,
        onnx_provider: str | None = None,
        device: str | None = None,
        threads: int = 0,
        lanes: int = 0,
        ffmpeg: str | None = None,
        allow_damaged: bool = False,
    ) -> None:
        self._norm = norm
        self._context = context
        self._model = model
        options = {
            "precision": precision,
            "quant": quant,
            "aligner": aligner,
            "libllama": libllama,
            "onnx_provider": onnx_provider,
            "device": device,
            "threads": threads,
            "lanes": lanes,
            "ffmpeg": ffmpeg,
            "allow_damaged": allow_damaged,
        }
        self._options = {name: value for name, value in options.items() if value is not None}
        self._host: SubtitleHost | None = None
        self._heard: dict[tuple[Path, int], str] = {}

    def initialize(self) -> None:
        """Find the backend and check the configuration.

        Raises:
            ConfigurationError: Nothing would work with it.
        """
        try:
            get_norm(self._norm)
            parse_options(self._options)
            self._host = SubtitleHost()
            self._host.backend(_BACKEND)
        except SubtitleError as error:
            raise ConfigurationError(f"{_NAME}: error {error.code}: {error}") from error

    def terminate(self) -> None:
        """Forget the backend; the warm worker process ends with the program."""
        self._host = None

    @classmethod
    def check_languages(cls, languages: AbstractSet[Language]) -> AbstractSet[Language]:
        """Keep the languages the model can write, with their countries: ``pt-BR`` is Portuguese."""
        return {language for language in languages if spoken_code(language)}

    def list_subtitles(self, video: Video, languages: AbstractSet[Language]) -> list[QwenASRSubtitle]:
        """Offer one subtitle for each language that an audio track is, or may be, in; recognises nothing."""
        media = Path(video.name)
        if not media.is_file():
            return []
        try:
            tracks = self._ready().probe(self._request(media), backend=_BACKEND).tracks
        except SubtitleError as error:
            _log.warning("error %d: %s", error.code, error)
            return []
        offers = []
        for language in languages:
            code = spoken_code(language)
            track = code and track_in(code, tracks)
            if code and track:
                offers.append(QwenASRSubtitle(language, media, track, code))
        return offers

    def download_subtitle(self, subtitle: QwenASRSubtitle) -> None:
        """Make the subtitle; where that fails it stays without content, and the next file has its chance.

        An exception would make some versions of subliminal leave out this provider for the rest of the run.
        """
        try:
            text = self._make(subtitle)
        except SubtitleError as error:
            _log.error("error %d: %s", error.code, error)
            return
        if text:
            subtitle.content = text.encode()

    def _make(self, subtitle: QwenASRSubtitle) -> str:
        heard_in = (subtitle.media, subtitle.track.index)
        heard = None if subtitle.marked else self._heard.get(heard_in)
        segments = []
        if heard in (None, subtitle.code):
            request = self._request(
                subtitle.media, track=subtitle.track.index, language=subtitle.code if subtitle.marked else None
            )
            with self._ready().generate(request, backend=_BACKEND) as transcript:
                for segment in transcript:
                    segments.append(segment)
                    if len(segments) == _SURE_AFTER and not self._fits(transcript.language, subtitle):
                        break
                heard = transcript.language
        if segments and heard:
            self._heard[heard_in] = heard
        if not self._fits(heard, subtitle):
            _log.info("%s: the language spoken is %s, not %s", subtitle.media, heard, subtitle.code)
            return ""
        if not segments:
            _log.info("%s: nobody speaks in it", subtitle.media)
        return render_srt(segments)

    def _fits(self, heard: str | None, subtitle: QwenASRSubtitle) -> bool:
        return subtitle.marked or heard in (None, subtitle.code)

    def _request(self, media: Path, **fields: Any) -> SubtitleRequest:
        return SubtitleRequest(
            media=media, norm=self._norm, context=self._context, model=self._model, options=self._options, **fields
        )

    def _ready(self) -> SubtitleHost:
        if self._host is None:
            raise RequestError("The provider is used before initialize() or after terminate().")
        return self._host
