# SPDX-License-Identifier: Apache-2.0
"""The real mpv, without a window, loads the installed script, has its key pressed, and shows the cues."""

import time
from pathlib import Path

import srt

SLOW = "threads=1;lanes=1"
MAKE = "Alt+t"
PLAYHEAD = 58
MINE = "1\n00:00:00,000 --> 00:59:00,000\nMine\n"


def cues(path):
    return list(srt.parse(Path(path).read_text(encoding="utf-8")))


def test_cues_are_shown_while_the_work_goes_on(start_mpv, film):
    own = film.with_name("own.srt")
    own.write_text(MINE, encoding="utf-8")
    mpv = start_mpv(f"--start={PLAYHEAD}", f"--sub-file={own}", "--secondary-sid=1", "--sid=no", film, engine=SLOW)
    mpv.press(MAKE)
    growing = mpv.wait(lambda: mpv.our_track(".srt"), "shows cues")["external-filename"]
    first = cues(growing)
    assert mpv.work()
    assert not film.with_name("film.en.srt").exists()
    # Position first: from a little before the playhead, and nothing of what is before that.
    assert PLAYHEAD - 10 <= first[0].start.total_seconds() <= PLAYHEAD + 20
    assert mpv.get("secondary-sid") == 1

    # Nothing blinks: while a cue is on the screen, nothing takes the place of the track it is from.
    mpv.wait(lambda: mpv.get("sub-text"), "has a cue on the screen")
    mpv.set("pause", "yes")
    shown = mpv.get("sid"), mpv.get("sub-text")
    assert mpv.work()
    mpv.wait_for_words("saved as film.en.srt")
    time.sleep(0.5)
    assert (mpv.get("sid"), mpv.get("sub-text")) == shown
    mpv.set("pause", "no")
    whole = cues(film.with_name("film.en.srt"))
    assert len(whole) > len(first)
    assert whole[0].start.total_seconds() < 5
    assert [cue.start for cue in whole] == sorted(cue.start for cue in whole)

    mpv.wait(lambda: mpv.our_track("film.en.srt"), "shows the finished file")
    mpv.wait(lambda: not Path(growing).exists(), "clears up")
    assert mpv.get("secondary-sid") == 1
    assert len(mpv.subtitles()) == 2
    # All of them are in mpv: also those of the part that was worked on last.
    mpv.command("seek", whole[0].start.total_seconds() + 0.3, "absolute+exact")
    words = whole[0].content
    mpv.wait(lambda: mpv.get("sub-text") == words, "shows the first cue")


def test_the_finished_file_is_used_at_once_the_next_time(start_mpv, clip):
    made = clip.with_name("clip.en.srt")
    made.write_text(MINE, encoding="utf-8")
    for arguments in (("--sub-auto=exact", "--sid=no"), ("--sub-auto=no",)):
        mpv = start_mpv("--pause", *arguments, clip)
        mpv.press(MAKE)
        mpv.wait_for_words("using clip.en.srt")
        assert Path(mpv.shown()["external-filename"]) == made
        assert len(mpv.subtitles()) == 1
        assert 'revision": 1' not in mpv.said
    # Once more makes new ones, and leaves that file alone.
    mpv.set("pause", "no")
    mpv.press(MAKE)
    mpv.wait_for_words("complete, but not kept. error 41: clip.en.srt: exists already; left as it is.")
    mpv.wait(lambda: mpv.our_track(".srt"), "shows the new ones")
    assert made.read_text(encoding="utf-8") == MINE


def test_who_chooses_other_subtitles_keeps_them(start_mpv, film):
    own = film.with_name("own.srt")
    own.write_text(MINE, encoding="utf-8")
    mpv = start_mpv(f"--sub-file={own}", film)
    mpv.press(MAKE)
    mpv.wait(lambda: mpv.our_track(".srt"), "shows cues")
    mpv.set("sid", 1)
    mpv.wait(
        lambda: film.with_name("film.en.srt") in [Path(one["external-filename"]) for one in mpv.subtitles()], "adds"
    )
    mpv.wait(lambda: len(mpv.subtitles()) == 2, "takes the growing track away")
    assert mpv.get("sid") == 1
    assert mpv.get("sub-text") == "Mine"


def test_the_audio_track_that_plays_is_worked_on(start_mpv, two_languages):
    mpv = start_mpv("--aid=2", "--pause", two_languages)
    mpv.press(MAKE)
    mpv.wait_for_words("saved as two.en.srt")
    sidecar = two_languages.with_name("two.en.srt")
    assert "difficult" in sidecar.read_text(encoding="utf-8")
    sidecar.unlink()
    mpv.set("aid", 1)
    mpv.press(MAKE)
    mpv.wait_for_words("nobody speaks in this")


def test_sound_of_another_file(start_mpv, silent, talk, make_media, tmp_path):
    sound = make_media("-i", talk, "-vn", "-c", "copy", tmp_path / "dubbed.m4a")
    video = make_media("-stream_loop", "3", "-i", silent, "-c", "copy", tmp_path / "video.mp4")
    mpv = start_mpv("--pause", f"--audio-file={sound}", "--aid=2", video)
    mpv.press(MAKE)
    mpv.wait_for_words("saved as video.en.srt")
    assert "difficult" in video.with_name("video.en.srt").read_text(encoding="utf-8")


def test_another_folder(start_mpv, clip):
    mpv = start_mpv("--pause", clip, output_folder="made/here")
    mpv.press(MAKE)
    mpv.wait_for_words("saved as clip.en.srt")
    assert cues(clip.parent / "made" / "here" / "clip.en.srt")
    clip.with_name("file").touch()
    mpv = start_mpv("--pause", clip, output_folder="file/here")
    mpv.press(MAKE)
    mpv.wait_for_words("complete, but not kept. error 40: ")
    assert "Set output_folder" in mpv.said
    assert mpv.wait(lambda: mpv.our_track(".srt"), "shows them all the same")
