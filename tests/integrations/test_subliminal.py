# SPDX-License-Identifier: Apache-2.0
"""The real subliminal, through its command line and its pool of providers."""

import shutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import srt

pytest.importorskip("subliminal", reason="subliminal is not installed (extra 'subliminal')")

from babelfish import Language
from subliminal import Episode, Movie, ProviderPool, scan_video
from subliminal.exceptions import ConfigurationError
from subliminal.providers import Provider

from qwen_asr_plugin.integrations.subliminal import QwenASRProvider, language_of, spoken_code
from qwen_asr_plugin.languages import ISO_CODES

ENGLISH = Language("eng")


@pytest.fixture
def film(elsewhere, talk):
    """Copy a video into the working folder under a film's name."""

    def copy(name="Some.Film.2019.mp4", path=talk):
        shutil.copy(path, name)
        return scan_video(name)

    return copy


@pytest.fixture
def pool():
    with ProviderPool(providers=["qwenasr"]) as pool:
        yield pool


def test_it_is_registered():
    (entry,) = entry_points(group="subliminal.providers", name="qwenasr")
    assert entry.load() is QwenASRProvider
    assert issubclass(QwenASRProvider, Provider)


def test_a_local_film_is_offered_at_once_and_made_on_download(pool, film):
    video = film()
    (offer,) = pool.list_subtitles(video, {ENGLISH, Language("nor")})
    assert offer.content is None
    assert (offer.provider_name, offer.language) == ("qwenasr", ENGLISH)
    assert (offer.hearing_impaired, offer.foreign_only, offer.embedded) == (False, False, False)
    assert pool.download_subtitle(offer)
    cues = list(srt.parse(offer.content.decode("utf-8")))
    assert "difficult to help people" in " ".join(cue.content.replace("\n", " ") for cue in cues)
    assert (offer.encoding, offer.subtitle_format) == ("utf-8", "srt")


@pytest.mark.parametrize("what", ["missing", "no video", "no sound"])
def test_nothing_is_offered_for(what, pool, film, mute, tmp_path):
    if what == "missing":
        video = Movie.fromname("Some.Film.2019.mkv")
    elif what == "no sound":
        video = film(path=mute)
    else:
        text = tmp_path / "text"
        text.write_text("no video", encoding="utf-8")
        video = film(path=text)
    assert pool.list_subtitles(video, {ENGLISH}) == []
    assert pool.discarded_providers == set()


def test_marked_tracks_are_offered_in_their_language_only(pool, film, two_languages):
    video = film("Some.Film.2019.mkv", two_languages)
    offers = pool.list_subtitles(video, {ENGLISH, Language("deu"), Language("fra")})
    assert {(str(offer.language), offer.track.index) for offer in offers} == {("de", 0), ("en", 1)}
    (english,) = (offer for offer in offers if offer.language == ENGLISH)
    assert pool.download_subtitle(english)


def test_another_language_than_the_one_wanted_is_not_saved(pool, film, talk, make_media, tmp_path):
    unmarked = make_media("-i", talk, "-c", "copy", "-metadata:s:a:0", "language=und", tmp_path / "unmarked.mp4")
    offers = pool.list_subtitles(film(path=unmarked), {Language("fra"), ENGLISH})
    assert {str(offer.language) for offer in offers} == {"en", "fr"}
    for offer in sorted(offers, key=lambda offer: str(offer.language), reverse=True):
        assert pool.download_subtitle(offer) == (offer.language == ENGLISH)


def test_a_silent_film_gets_no_subtitle(pool, film, silent):
    (offer,) = pool.list_subtitles(film(path=silent), {ENGLISH})
    assert not pool.download_subtitle(offer)
    assert offer.content is None


def test_a_failure_does_not_discard_the_provider(pool, film, broken, caplog):
    (bad,) = pool.list_subtitles(film("Bad.Film.2019.mp4", broken), {ENGLISH})
    assert not pool.download_subtitle(bad)
    assert "error 16: " in caplog.text
    assert "Bad.Film.2019.mp4" in caplog.text
    assert pool.discarded_providers == set()
    (good,) = pool.list_subtitles(film(), {ENGLISH})
    assert pool.download_subtitle(good)


def test_its_score_loses_against_the_very_release(pool, film):
    from subliminal import compute_score, get_scores

    for name in ("Some.Film.2019.1080p.WEB-DL.x264-GROUP.mp4", "Series.S01E02.720p.HDTV.x264-GROUP.mp4"):
        video = film(name)
        (offer,) = pool.list_subtitles(video, {ENGLISH})
        scores = get_scores(video)
        work = ("series", "season", "episode") if isinstance(video, Episode) else ("title",)
        assert compute_score(offer, video) == sum(scores[name] for name in (*work, "year", "country"))
        assert compute_score(offer, video) < scores["hash"]
        assert compute_score(offer, Movie("another.mp4", "Another")) == 0


@pytest.mark.parametrize(
    "settings", [{"norm": "nonsense"}, {"device": "cpu", "threads": "many"}, {"onnx_provider": "abacus"}]
)
def test_an_impossible_option_is_a_configuration_error(settings):
    with pytest.raises(ConfigurationError, match="qwenasr: error 2: "):
        QwenASRProvider(**settings).initialize()


def test_without_the_backend_it_is_a_configuration_error(monkeypatch):
    monkeypatch.setenv("SUBTITLE_HOOKS_PLUGINS", "")
    with pytest.raises(ConfigurationError, match="qwenasr: error 52: "):
        QwenASRProvider().initialize()


@pytest.mark.parametrize("code", ISO_CODES)
def test_languages_both_ways(code):
    assert spoken_code(language_of(code)) == code
    assert language_of(code) in QwenASRProvider.languages


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ("pt-BR", "pt"),
        ("en-GB", "en"),
        ("tl", "fil"),
        ("zh", "zh"),
        ("zh-Hans", "zh"),
        ("zh-Hant", None),
        ("zh-TW", None),
        ("zh-CN", "zh"),
        ("sr-Latn", None),
        ("no", None),
        ("und", None),
    ],
)
def test_languages_people_ask_for(wanted, code):
    language = Language.fromietf(wanted)
    assert spoken_code(language) == code
    assert QwenASRProvider.check_languages({language}) == ({language} if code else set())


def test_its_command_line_serves_the_file_after_a_broken_one(shell, film, broken, site):
    film("A.Broken.Film.2018.mp4", broken)
    Path("B.Torn.Film.2018.mp4").write_bytes(b"torn")
    film("C.Good.Film.2019.mp4")
    options = "--cache-dir cache download -l en -p qwenasr -r metadata"
    done = shell(f"subliminal {options} A.Broken.Film.2018.mp4 B.Torn.Film.2018.mp4 C.Good.Film.2019.mp4")
    assert done.returncode == 0, done.stderr
    assert "Downloaded 1 subtitle" in done.stdout, done.stdout
    assert [path.name for path in Path().glob("*.srt")] == ["C.Good.Film.2019.en.srt"]


def test_documented_commands(shell, documented, film, talk):
    first, folder, configured = documented("subliminal.md")
    film()
    film("Talk.2021.mp4")
    Path("films").mkdir()
    for name in ("One.Film.2001.mp4", "Other.Film.2002.mp4"):
        shutil.copy(talk, Path("films") / name)
    (Path("films") / "One.Film.2001.en.srt").write_text("mine", encoding="utf-8")
    for command in (first, folder, configured):
        done = shell(command)
        assert done.returncode == 0, done.stderr
        assert "1 subtitle" in done.stdout, done.stdout
    assert list(srt.parse(Path("Some.Film.2019.en.srt").read_text(encoding="utf-8")))
    assert list(srt.parse(Path("Talk.2021.en.srt").read_text(encoding="utf-8")))
    assert Path("films/One.Film.2001.en.srt").read_text(encoding="utf-8") == "mine"
    assert Path("films/Other.Film.2002.en.srt").exists()


def test_documented_configuration(shell, film):
    tomllib = pytest.importorskip("tomllib", reason="in the standard library since Python 3.11")
    root = Path(__file__).parents[2]
    text = (root / "docs" / "how-to" / "subliminal.md").read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    assert tomllib.loads(example)["provider"]["qwenasr"]["norm"] == "netflix"
    film()
    Path("subliminal.toml").write_text(example.replace("netflix", "nonsense"), encoding="utf-8")
    done = shell("subliminal -c subliminal.toml --debug download -l en -p qwenasr -r metadata Some.Film.2019.mp4")
    assert "qwenasr: error 2: " in done.stderr
    assert "nonsense" in done.stderr
