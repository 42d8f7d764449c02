# SPDX-License-Identifier: Apache-2.0
"""`subtitle-host plugins new`: the project it writes works as it is, in a fresh environment and without a network."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from subtitle_hooks import OutputExistsError, RequestError
from subtitle_hooks.host import main
from subtitle_hooks.template import plan_project, project_names, write_project

ROOT = Path(__file__).parents[2]
FILES = {
    ".github/workflows/tests.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "my_subtitles.py",
    "pyproject.toml",
    "tests/test_contract.py",
    "tests/test_my_subtitles.py",
}
# What the kit needs, and what that needs in turn.
NEEDED = ("pluggy", "srt", "pytest", "iniconfig", "packaging", "pygments", "colorama", "exceptiongroup", "tomli",
          "typing_extensions")  # fmt: skip


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(*command, **settings):
    done = subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True, timeout=300, **settings
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# --- names ---


@pytest.mark.parametrize(
    ("name", "backend", "module", "class_name"),
    [
        ("my-subtitles", "my-subtitles", "my_subtitles", "MySubtitles"),
        ("Acme.ASR__v2", "acme-asr-v2", "acme_asr_v2", "AcmeAsrV2"),
        ("x", "x", "x", "X"),
        ("match", "match", "match", "Match"),  # a soft keyword may name a module
    ],
)
def test_names_follow_from_one(name, backend, module, class_name):
    names = project_names(name)
    assert (names.distribution, names.backend, names.module, names.class_name) == (name, backend, module, class_name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "distribution"),
        ("-x", "distribution"),
        ("x-", "distribution"),
        ("a b", "distribution"),
        ("../up", "distribution"),
        ("größe", "distribution"),
        ("x\n", "distribution"),
        ("x" * 101, "distribution"),
        ("2fast", "no Python identifier"),
        ("class", "keyword"),
        ("wave", "standard library"),
        ("subtitle-hooks", "taken"),
        ("test-me", "taken"),
        ("pytest", "taken"),
    ],
)
def test_names_that_cannot_work_are_refused(name, why):
    with pytest.raises(RequestError, match=why) as caught:
        project_names(name)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["2fast", "class", "wave", "subtitle-hooks", "test-me", "3-2-1"])
def test_the_name_that_is_proposed_instead_can_work(name):
    with pytest.raises(RequestError) as caught:
        project_names(name)
    project_names(caught.value.hint.split()[-1].rstrip("."))


# --- the command ---


def test_the_command_writes_the_project_and_says_what(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "my-subtitles"]) == 0
    said = capsys.readouterr()
    assert files_of(tmp_path) == {f"my-subtitles/{name}" for name in FILES}
    assert {Path(line).as_posix() for line in said.out.splitlines()} == files_of(tmp_path)
    assert "cd my-subtitles" in said.err
    assert not any("@@" in path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())


def test_dry_run_and_json(tmp_path, capsys):
    folder = tmp_path / "here"
    assert main(["plugins", "new", "My.Subtitles", "--directory", str(folder), "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["backend"], data["module"], data["dry_run"]) == ("my-subtitles", "my_subtitles", True)
    assert len(data["files"]) == len(FILES)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "file"):
        for more in ([], ["--dry-run"]):
            assert main(["plugins", "new", "my-subtitles", "--directory", str(folder), *more]) == OutputExistsError.code
            assert str(folder) in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "file"}
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_bad_name_is_refused(tmp_path, capsys):
    assert main(["plugins", "new", "import", "--directory", str(tmp_path / "x")]) == RequestError.code
    assert "keyword" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(plan_project("my-subtitles", Path()))
    assert files_of(Path()) == FILES
    assert Path.cwd() == tmp_path


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    project = plan_project("my-subtitles", tmp_path / "new")
    written = []

    def fail(self, *arguments, **options):
        written.append(self)
        if len(written) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    real = Path.write_text
    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(KeyboardInterrupt):
        write_project(project)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("choice", "line", "words"),
    [("apache-2.0", 'license = "Apache-2.0"', "Apache License"), ("mit", 'license = "MIT"', 'Ada \u00d6 "Q" L.')],
)
def test_licences(choice, line, words):
    files = plan_project("my-subtitles", author='Ada Ö "Q" L.', license=choice).files
    assert line in files[Path("pyproject.toml")]
    assert words in files[Path("LICENSE")]


def test_no_licence():
    files = plan_project("my-subtitles", license="none").files
    assert Path("LICENSE") not in files
    assert "license" not in files[Path("pyproject.toml")]
    with pytest.raises(RequestError, match="gpl"):
        plan_project("my-subtitles", license="gpl")
    with pytest.raises(RequestError, match="control"):
        plan_project("my-subtitles", author="a\nb")


@pytest.mark.parametrize("choice", ["apache-2.0", "mit", "none"])
def test_the_project_file_is_toml(choice):
    tomllib = pytest.importorskip("tomllib", reason="in the standard library since Python 3.11")
    data = tomllib.loads(plan_project("My.Subs", author='A "B" \\ Ö', license=choice).files[Path("pyproject.toml")])
    assert data["project"]["entry-points"]["subtitle_hooks"] == {"my-subs": "my_subs"}
    assert data["project"]["authors"] == [{"name": 'A "B" \\ Ö'}]


# --- the project as it is written ---


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A virtual environment with the wheels of subtitle-hooks and of a new project, and the folder of the project."""
    if not importlib.util.find_spec("hatchling"):
        pytest.skip("hatchling is not installed, and without a network it cannot be fetched")
    base = tmp_path_factory.mktemp("fresh")
    project, wheels = base / "my-subtitles", base / "wheels"
    write_project(plan_project("my-subtitles", project))
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, ROOT / "hooks", project)
    venv.create(base / "venv", with_pip=False, symlinks=os.name != "nt")
    python = base / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in NEEDED:
        copy_distribution(name, site)
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", *wheels.glob("*.whl"))
    return python, project


def copy_distribution(name, site):
    """Install a distribution of this environment into another one, without an index."""
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:
        return  # not needed for this Python
    for file in files:
        if ".." not in file.parts and file.suffix != ".pyc":
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def quiet_environment():
    hidden = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "SUBTITLE_HOOKS_PLUGINS")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def test_its_tests_pass_in_a_fresh_environment(fresh):
    python, project = fresh
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project, env=quiet_environment())
    assert " passed" in said
    assert "failed" not in said


def test_the_installed_backend_passes_the_kit(fresh, tmp_path):
    python, _ = fresh
    said = run(
        *(python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
        *("-p", "subtitle_hooks.testing", "--subtitle-backend", "my-subtitles"),
        cwd=tmp_path,
        env=quiet_environment(),
    )
    assert " passed" in said


def test_a_host_in_that_environment_uses_it(fresh, tmp_path):
    python, _ = fresh
    host = (python, "-m", "subtitle_hooks.host")
    listed = json.loads(run(*host, "plugins", "list", "--json", env=quiet_environment()))
    assert [(one["name"], one["distribution"]) for one in listed["backends"]] == [("my-subtitles", "my-subtitles")]
    from subtitle_hooks.testing._media_files import write_wav

    run(*host, "run", "-q", "--language", "en", write_wav(tmp_path, "talk"), env=quiet_environment())
    assert (tmp_path / "talk.en.srt").read_text(encoding="utf-8").count("-->") == 4


def test_the_installed_command_has_its_templates(fresh, tmp_path):
    python, _ = fresh
    folder = tmp_path / "new"
    run(python, "-m", "subtitle_hooks.host", "plugins", "new", "my-subtitles", "--directory", folder)
    assert files_of(folder) == FILES


def test_what_is_written_is_clean(tmp_path):
    ruff = shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    write_project(plan_project("my-subtitles", tmp_path / "new"))
    rules = ("--isolated", "--line-length", "120")
    run(ruff, "check", *rules, "--select", "E,F,I,B,UP,RUF", ".", cwd=tmp_path / "new")
    run(ruff, "format", *rules, "--check", ".", cwd=tmp_path / "new")
