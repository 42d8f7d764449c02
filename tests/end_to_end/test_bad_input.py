# SPDX-License-Identifier: Apache-2.0
"""Every broken thing has its own error, the batch goes on, and nothing half-written stays."""

import os
import shutil
import sys

import pytest

CODES = {
    "missing.mp4": 11,
    "folder.mp4": 12,
    "empty.mp4": 14,
    "text.mp4": 15,
    "playlist.mp4": 15,
    "no-index.mp4": 16,
    "cut-off.mp4": 16,
    "no-audio.mp4": 17,
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory, make_media, sample_video):
    """One broken file per name in CODES."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "folder.mp4").mkdir()
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is not a film.\n" * 200)
    (folder / "playlist.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXTINF:55,\n{sample_video.as_uri()}\n#EXT-X-ENDLIST\n"
    )
    content = sample_video.read_bytes()
    (folder / "cut-off.mp4").write_bytes(content[: len(content) // 2])  # the index comes first
    late_index = make_media("-i", sample_video, "-c", "copy", "-movflags", "0", folder / "late-index.mp4")
    (folder / "no-index.mp4").write_bytes(late_index.read_bytes()[: len(content) // 2])
    late_index.unlink()
    make_media("-f", "lavfi", "-i", "color=s=64x36:r=5:d=2", folder / "no-audio.mp4")
    return folder


@pytest.mark.parametrize("name", CODES)
def test_each_has_its_own_code_and_a_message_with_the_file(name, broken, host_cli, plugin_cli):
    for done in (host_cli("run", broken / name), plugin_cli("transcribe", broken / name)):
        assert done.returncode == CODES[name], done.stderr
        assert name in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(broken.glob("*.srt"))


def test_the_batch_goes_on(broken, host_cli, plugin_cli, sample_video, tmp_path):
    good = shutil.copy(sample_video, tmp_path / "good.mp4")
    for command in ((host_cli, "run"), (plugin_cli, "transcribe")):
        done = command[0](command[1], broken / "text.mp4", broken / "no-audio.mp4", good)
        assert done.returncode == 9, done.stderr
        (tmp_path / "good.en.srt").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.mp4"]


def test_a_damaged_file_can_be_taken_as_far_as_it_goes(broken, plugin_cli, tmp_path):
    done = plugin_cli("transcribe", broken / "cut-off.mp4", "--allow-damaged", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "difficult to help people" in (tmp_path / "cut-off.en.srt").read_text().replace("\n", " ")
    assert "cut off" in done.stderr or "damaged" in done.stderr


def test_media_without_speech_gives_an_empty_file_and_says_so(make_media, host_cli, plugin_cli, tmp_path):
    silent = make_media(
        "-f", "lavfi", "-i", "color=s=64x36:r=5:d=5", "-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-shortest",
        tmp_path / "silent.mp4",
    )  # fmt: skip
    for done in (host_cli("run", silent), plugin_cli("transcribe", silent, "-y")):
        assert done.returncode == 0, done.stderr
        assert "speak" in done.stderr or "speech" in done.stderr
    assert (tmp_path / "silent.und.srt").read_text() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read and write everything")
def test_files_and_folders_without_permission(host_cli, sample_video, tmp_path):
    video = shutil.copy(sample_video, tmp_path / "video.mp4")
    video.chmod(0)
    assert host_cli("run", video).returncode == 13
    video.chmod(0o600)
    tmp_path.chmod(0o500)
    try:
        assert host_cli("run", video).returncode == 42
    finally:
        tmp_path.chmod(0o700)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


@pytest.fixture
def bundle(tmp_path):
    from qwen_asr_model import default_bundle

    return shutil.copytree(default_bundle(), tmp_path / "bundle")


def _cut(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _remove(path):
    path.unlink()


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize(
    ("pattern", "harm", "code"),
    [
        ("*.gguf", _remove, 112),
        ("*backend*.onnx", _remove, 112),
        ("*.gguf", _cut, 113),
        ("*backend*.onnx", _cut, 114),
        ("*frontend*.onnx", _cut, 114),
    ],
)
def test_damaged_models(pattern, harm, code, manifest, bundle, plugin_cli, sample_video, tmp_path):
    if not manifest:  # as the released bundles are; their aligner is a bundle of its own
        for path in (bundle / "bundle.json", *bundle.glob("*aligner*")):
            path.unlink()
    for path in bundle.glob(pattern):
        harm(path)
    done = plugin_cli("transcribe", sample_video, "--model-dir", bundle, "-o", tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.srt"))


def test_a_missing_model_and_a_missing_precision(plugin_cli, sample_video, tmp_path):
    assert plugin_cli("transcribe", sample_video, "-m", tmp_path / "nowhere", "-o", tmp_path).returncode == 111
    done = plugin_cli("transcribe", sample_video, "--precision", "fp32", "-o", tmp_path)
    assert done.returncode == 116
    assert "int" in done.stderr, "it says what there is"


def test_no_ffmpeg(host_cli, sample_video, tmp_path):
    done = host_cli("run", sample_video, "--output-dir", tmp_path, "--option", f"ffmpeg={tmp_path / 'nowhere'}")
    assert done.returncode == 100
    assert "ffmpeg" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--option", "precison=int8"],
        ["--option", "threads=many"],
        ["--language", "klingon"],
        ["--language", "de"],  # the bundled model knows English only
        ["--norm", "nobody"],
        ["--start", "100000"],
    ],
)
def test_impossible_requests_are_refused(wrong, host_cli, sample_video, tmp_path):
    done = host_cli("run", sample_video, "--output-dir", tmp_path, *wrong)
    assert done.returncode == 2, done.stderr
    assert not list(tmp_path.iterdir())


def test_an_execution_provider_that_is_not_there_is_refused(plugin_cli, sample_video, tmp_path):
    import onnxruntime

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    done = plugin_cli("transcribe", sample_video, "-o", tmp_path, "--provider", "tensorrt")
    assert done.returncode == 125
