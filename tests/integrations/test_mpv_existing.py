# SPDX-License-Identifier: Apache-2.0
"""Which subtitle file counts as the one that was made the last time."""

import pytest

from qwen_asr_plugin.integrations.mpv import CueWork
from subtitle_hooks import SubtitleRequest


@pytest.mark.parametrize(
    ("names", "language", "audio", "found"),
    [
        (["film.en.srt"], None, None, "film.en.srt"),
        (["film.en.srt", "film.de.srt"], None, None, None),
        (["film.en.srt", "film.de.srt"], None, "ger", "film.de.srt"),
        (["film.en.srt", "film.de.srt"], "en", "ger", "film.en.srt"),
        (["film.eng.sdh.srt"], "English", None, "film.eng.sdh.srt"),
        (["film.en.forced.srt"], "en", None, None),
        (["film.en.srt"], None, "ger", None),
        (["film.srt"], None, None, "film.srt"),
        (["film.srt"], "en", None, None),
        (["film.en.vtt", "film 2.en.srt", "another.en.srt"], "en", None, None),
        ([], None, None, None),
    ],
)
def test_the_language_decides(tmp_path, names, language, audio, found):
    for name in names:
        (tmp_path / name).touch()
    request = SubtitleRequest(media=tmp_path / "film.mp4", language=language)
    work = CueWork(request=request, job_file=tmp_path / "job", audio_language=audio)
    existing = work.existing()
    assert (existing and existing.name) == found


def test_a_folder_of_its_own_and_a_language_in_the_name(tmp_path):
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs" / "film.en.srt").touch()
    request = SubtitleRequest(media=tmp_path / "film.en.mp4")
    assert CueWork(request=request, job_file=tmp_path / "job").existing() is None
    inside = CueWork(request=request, job_file=tmp_path / "job", folder=tmp_path / "subs")
    assert inside.existing() == tmp_path / "subs" / "film.en.srt"
    missing = CueWork(request=request, job_file=tmp_path / "job", folder=tmp_path / "none")
    assert missing.existing() is None
