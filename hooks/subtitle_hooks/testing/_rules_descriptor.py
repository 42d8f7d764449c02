# SPDX-License-Identifier: Apache-2.0
"""Rules about what a backend says: its descriptor and its answer to `probe_media`."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from subtitle_hooks import AudioTrackInfo, MediaInfo

from ._doubles import RecordingEvents
from ._media_files import wav_duration_ms
from ._subject import SLACK_S, Subject, broken

__all__ = ["DescriptorRules"]

_CAPABILITIES = {"range", "track", "context", "language-detection", "partial-segments", "start-at"}
_CALLS = 50


class DescriptorRules:
    """`subtitle_backends` and `probe_media`."""

    def test_a_host_can_use_it(self, subject: Subject) -> None:
        """A host finds the backend, and nothing of its plugin is left out as broken."""
        if subject.backend is None or subject.host is None:
            broken(subject.unusable)
            return
        for plugin in subject.host.broken:
            if plugin.origin == subject.backend.origin:
                broken(f"a host leaves something of it out: {plugin.error}")

    def test_descriptor(self, subject: Subject) -> None:
        """Summary, version, languages, capabilities and media say something, once, in words that hosts know."""
        info = subject.info
        unknown = info.capabilities - _CAPABILITIES
        if unknown:
            broken(f"unknown capabilities: {', '.join(sorted(unknown))}; there are {', '.join(sorted(_CAPABILITIES))}")
        if len(set(info.languages)) < len(info.languages):
            twice = sorted({one for one in info.languages if info.languages.count(one) > 1})
            broken(f"languages listed more than once: {', '.join(twice)}")
        if not info.summary.strip():
            broken("the summary is empty; lists of backends show it")
        if not info.media:
            broken("media is empty; without any pattern a host would never offer a file to it")
        origin = subject.backend.origin if subject.backend is not None else None
        if origin is not None and origin.distribution and info.version != origin.version:
            broken(f"its version is {info.version!r}, that of its distribution {origin.version!r}")

    def test_describing_is_quick_and_always_the_same(self, subject: Subject) -> None:
        """Hosts ask for descriptors often; 50 answers are equal and take less than a second in all."""
        hook = subject.hook("subtitle_backends")
        list(itertools.chain(*hook()))
        began = time.monotonic()
        answers = [list(itertools.chain(*hook())) for _ in range(_CALLS)]
        took_s = time.monotonic() - began
        if any(answer != answers[0] for answer in answers):
            broken("the descriptors differ from call to call")
        if took_s > 1 + SLACK_S:
            broken(f"{_CALLS} calls of subtitle_backends took {took_s:.1f} s; loading belongs into generate_subtitles")

    def test_backends_of_others_are_left_alone(self, subject: Subject) -> None:
        """Asked for a name that is not its own, a plugin answers None."""
        request = subject.request(subject.make_media())
        answer = subject.hook("probe_media")(backend="of-somebody-else", request=request)
        if answer is not None:
            broken(f"probe_media answered {answer!r} for a backend that is not its own instead of None")
        answer = subject.hook("generate_subtitles")(
            backend="of-somebody-else", request=request, events=RecordingEvents()
        )
        if answer is not None:
            broken(f"generate_subtitles answered {answer!r} for a backend that is not its own instead of None")

    def test_probe_describes_the_media(self, subject: Subject) -> None:
        """`probe_media` answers a MediaInfo with the path as asked, the true duration, and numbered audio tracks."""
        media = subject.make_media()
        answer = subject.probe(media)
        if not isinstance(answer, MediaInfo):
            broken(f"probe_media answered {answer!r} instead of a MediaInfo")
            return
        if answer.path != media:
            broken(f"the MediaInfo is about {answer.path}, not about {media}")
        if not answer.tracks or not all(isinstance(track, AudioTrackInfo) for track in answer.tracks):
            broken(f"the tracks are {answer.tracks!r}; the file has an audio track")
        if [track.index for track in answer.tracks] != list(range(len(answer.tracks))):
            broken("the tracks are not numbered 0, 1, 2...")
        if sum(track.default for track in answer.tracks) > 1:
            broken("more than one track is the default track")
        _check_duration(answer.duration_ms, media)


def _check_duration(said_ms: object, media: Path) -> None:
    if said_ms is None:
        return
    if type(said_ms) is not int:
        broken(f"the duration is {said_ms!r} instead of a whole number of milliseconds")
        return
    true_ms = wav_duration_ms(media)
    if true_ms is not None and abs(said_ms - true_ms) > 100:
        broken(f"the duration is said to be {said_ms} ms; the file lasts {true_ms} ms")
