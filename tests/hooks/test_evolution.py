# SPDX-License-Identifier: Apache-2.0
"""The contract only grows: old plugins and old hosts go on working, and the other way round. See docs/contract.md."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import subtitle_hooks
from subtitle_hooks import SubtitleHost, SubtitleRequest
from subtitle_hooks.template import plan_project
from subtitle_hooks.testing import FakeBackend
from subtitle_hooks.testing.contract import BackendContract

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
FROZEN = DATA / "api_1_0"
OLD_CONTRACT = FROZEN / "subtitle_hooks-0.1.0-py3-none-any.whl"
EXAMPLE = ROOT / "docs" / "examples" / "example-backend" / "example_backend.py"
ADDED = re.compile(r"^\.\. versionadded:: \d+\.\d+", re.MULTILINE)


def load(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(*arguments, path=(), check=True, **environment):
    """Run Python with folders in front of everything that is installed, and with a plugin chosen by name."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def install(folder, name, code):
    """Put a distribution with one module into a folder, the way pip does."""
    folder.mkdir(exist_ok=True)
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[subtitle_hooks]\n{name} = {module}\n", encoding="utf-8")
    return folder


@pytest.fixture
def talk(tmp_path):
    from subtitle_hooks.testing._media_files import write_wav

    path = write_wav(tmp_path, "talk")
    path.with_suffix(".txt").write_text("One two three. Four five six. Seven eight nine.", encoding="utf-8")
    return path


# --- old plugin, today's contract ---


class TestFrozenPlugin(BackendContract):
    """A plugin of the first version passes today's kit."""

    plugin = load(FROZEN / "api_1_0_plugin.py")


def test_a_frozen_plugin_works_when_installed(talk, tmp_path):
    site = install(tmp_path / "site", "api-1-0", (FROZEN / "api_1_0_plugin.py").read_text(encoding="utf-8"))
    host = ("-W", "error", "-m", "subtitle_hooks.host")
    done = python(*host, "run", "-q", "--strict", talk, path=[site], SUBTITLE_HOOKS_PLUGINS="api-1-0")
    assert Path(done.stdout.strip()).read_text(encoding="utf-8").count("-->") == 4


def test_a_frozen_plugin_works_for_a_host_that_asks_for_a_place(talk):
    host = SubtitleHost(discover=False, plugins=[load(FROZEN / "api_1_0_plugin.py")])
    segments = list(host.generate(SubtitleRequest(media=talk, start_at_ms=5000)))
    assert len(segments) == 4
    assert segments == sorted(segments, key=lambda segment: segment.start_ms)


# --- old host, today's plugins ---


def test_a_frozen_host_works_with_todays_fake(talk):
    host = SubtitleHost(discover=False, plugins=[FakeBackend()])
    target = load(FROZEN / "api_1_0_host.py").make(host, talk, "fake")
    assert target.read_text(encoding="utf-8").count("-->") == 4


def template_backend():
    return plan_project("my-subtitles").files[Path("my_subtitles.py")]


@pytest.mark.parametrize(
    ("name", "code"), [("read-along", EXAMPLE.read_text(encoding="utf-8")), ("my-subtitles", template_backend())]
)
@pytest.mark.parametrize("contract", ["today's contract", "the contract of 0.1.0"])
def test_a_frozen_host_works_with_todays_plugins(talk, tmp_path, contract, name, code):
    site = install(tmp_path / "site", name, code)
    path = [site] if contract == "today's contract" else [OLD_CONTRACT, site]
    done = python("-W", "error", FROZEN / "api_1_0_host.py", talk, name, path=path, SUBTITLE_HOOKS_PLUGINS=name)
    assert Path(done.stdout.strip()).read_text(encoding="utf-8").count("-->") >= 3


# --- a contract that has grown ---


@pytest.fixture
def future(tmp_path):
    """A copy of today's contract with a new hook, a new argument, and new fields."""
    folder = tmp_path / "future"
    shutil.copytree(
        Path(subtitle_hooks.__file__).parent,
        folder / "subtitle_hooks",
        ignore=shutil.ignore_patterns("__pycache__"),
    )

    def grow(file, *changes):
        path = folder / "subtitle_hooks" / file
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, f"{file} has changed; adapt this test: {old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    grow(
        "_messages.py",
        ("    options: Mapping[str, object] =", '    urgency: str = "normal"\n    options: Mapping[str, object] ='),
        ('    summary: str = ""\n', '    summary: str = ""\n    homepage: str = ""\n'),
        ("    end_ms: int\n    text: str\n    lang", '    end_ms: int\n    text: str\n    voice: str = ""\n    lang'),
    )
    signature = "(self, backend: str, request: SubtitleRequest, events: Events"
    grow(
        "_spec.py",
        (f"{signature})", f"{signature}, urgency: str)"),
        ("    @hookspec\n", "    @hookspec\n    def warm_up(self, backend: str): ...\n\n    @hookspec\n"),
    )
    call = "hook(backend=chosen.name, request=request, events=events"
    grow("_host.py", (f"{call})", f"{call}, urgency=request.urgency)"))
    return folder


IN_THE_FUTURE = """
import sys
from pathlib import Path
from subtitle_hooks import BackendInfo, SubtitleHost, SubtitleRequest
from subtitle_hooks.testing import FakeBackend
assert BackendInfo(name="x", version="1", homepage="y").homepage == "y", "this is not the future"
host = SubtitleHost(plugins=[FakeBackend()], strict=True)
assert [one.info.homepage for one in host.backends()] == ["", ""]
for name in ("api-1-0", "fake"):
    request = SubtitleRequest(media=Path(sys.argv[1]), urgency="high")
    host.probe(request, name)
    assert [one.voice for one in host.generate(request, backend=name)] == [""] * 4
"""


def test_a_frozen_plugin_works_with_a_contract_that_has_grown(future, talk, tmp_path):
    site = install(tmp_path / "site", "api-1-0", (FROZEN / "api_1_0_plugin.py").read_text(encoding="utf-8"))
    python("-W", "error", "-c", IN_THE_FUTURE, talk, path=[future, site], SUBTITLE_HOOKS_PLUGINS="api-1-0")


def test_a_frozen_host_works_with_a_contract_that_has_grown(future, talk, tmp_path):
    site = install(tmp_path / "site", "api-1-0", (FROZEN / "api_1_0_plugin.py").read_text(encoding="utf-8"))
    frozen = FROZEN / "api_1_0_host.py"
    python("-W", "error", frozen, talk, "api-1-0", path=[future, site], SUBTITLE_HOOKS_PLUGINS="api-1-0")


# --- new plugin, today's host, which is an old one to it ---

NEWER = textwrap.dedent(
    """
    from subtitle_hooks import BackendInfo, MediaInfo, Segment, Transcript, hookimpl

    @hookimpl
    def subtitle_backends():
        yield BackendInfo(name="newer", version="1.0", summary="Ahead of its time")

    @hookimpl
    def probe_media(backend, request):
        return MediaInfo(path=request.media) if backend == "newer" else None

    @hookimpl
    def generate_subtitles(backend, request):
        if backend == "newer":
            text = getattr(request, "urgency", "no urgency")
            return Transcript(backend="newer", segments=[Segment(start_ms=0, end_ms=1, text=text)])
    """
)


def module_of(code):
    module = type(sys)("newer")
    exec(compile(code, "newer.py", "exec"), vars(module))
    return module


STARTS_ANYWHERE = NEWER.replace('summary="', 'capabilities=frozenset({"start-at"}), summary="').replace(
    'getattr(request, "urgency", "no urgency")', 'str(getattr(request, "start_at_ms", "never asked"))'
)


def test_a_plugin_with_a_place_to_start_at_works_with_the_contract_of_0_1_0(talk, tmp_path):
    site = install(tmp_path / "site", "newer", STARTS_ANYWHERE)
    code = (
        "import sys; from pathlib import Path; from subtitle_hooks import SubtitleHost, SubtitleRequest\n"
        "request = SubtitleRequest(media=Path(sys.argv[1]))\n"
        "print(*(one.text for one in SubtitleHost(strict=True).generate(request)))"
    )
    for path, said in (([OLD_CONTRACT, site], "never asked"), ([site], "0")):
        assert python("-c", code, talk, path=path, SUBTITLE_HOOKS_PLUGINS="newer").stdout.strip() == said


def test_a_newer_plugin_can_support_an_older_contract(talk):
    plugin = module_of(NEWER + "\n@hookimpl(optionalhook=True)\ndef warm_up(backend):\n    pass\n")
    host = SubtitleHost(discover=False, plugins=[plugin])
    assert [one.text for one in host.generate(SubtitleRequest(media=talk))] == ["no urgency"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (NEWER + "\n@hookimpl\ndef warm_up(backend):\n    pass\n", "warm_up"),
        (NEWER.replace("generate_subtitles(backend,", "generate_subtitles(urgency, backend,"), "urgency"),
        (NEWER.replace('version="1.0"', 'version="1.0", api_version=2'), "Upgrade subtitle-hooks"),
        (NEWER.replace('version="1.0"', 'version="1.0", homepage="x"'), "homepage"),
    ],
    ids=["hook", "argument", "api_version", "field"],
)
def test_a_plugin_that_needs_a_newer_contract_is_left_out_with_the_reason(tmp_path, code, said):
    site = install(tmp_path / "site", "newer", code)
    host = ("-m", "subtitle_hooks.host", "plugins", "--json")
    found = json.loads(python(*host, path=[site], SUBTITLE_HOOKS_PLUGINS="newer").stdout)
    assert found["backends"] == []
    (broken,) = found["broken"]
    assert broken["distribution"] == "newer"
    assert said in json.dumps(broken)


# --- what can be seen of the contract ---


@pytest.fixture(scope="module")
def surfaces():
    """The contract of 0.1.0 and today's."""
    return tuple(json.loads(python(DATA / "contract_surface.py", path=path).stdout) for path in ([OLD_CONTRACT], []))


def test_the_frozen_contract_is_the_one_that_was_frozen():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(OLD_CONTRACT.read_bytes()).hexdigest() in readme


def test_no_name_goes(surfaces):
    old, new = surfaces
    assert set(old["names"]) <= set(new["names"])
    assert old["api_version"] == new["api_version"]


def test_hooks_keep_their_arguments(surfaces):
    old, new = surfaces
    for name, hook in old["hooks"].items():
        today = new["hooks"][name]
        assert today["arguments"][: len(hook["arguments"])] == hook["arguments"], name
        assert today["firstresult"] == hook["firstresult"], name


def test_messages_keep_their_fields_and_defaults(surfaces):
    old, new = surfaces
    for name, message in old["messages"].items():
        today = new["messages"][name]["fields"]
        assert {field: today.get(field, "gone") for field in message["fields"]} == message["fields"], name
        added = {field: default for field, default in today.items() if field not in message["fields"]}
        assert None not in added.values(), f"new fields of {name} need defaults: {added}"


def test_signatures_only_grow(surfaces):
    old, new = surfaces
    pairs = [(name, one, new["functions"][name]) for name, one in old["functions"].items()]
    for kind, methods in old["classes"].items():
        pairs += [(f"{kind}.{name}", one, new["classes"][kind][name]) for name, one in methods.items()]
    for name, before, today in pairs:
        assert {parameter: today.get(parameter) for parameter in before} == before, name
        assert all(default is not None for added, (_, default) in today.items() if added not in before), name


def test_hosts_own_events_stay_complete(surfaces):
    old, new = surfaces
    assert new["classes"]["Events"] == old["classes"]["Events"], "hosts implement this protocol; it cannot grow"


def test_error_codes_stay(surfaces):
    old, new = surfaces
    for name, error in old["errors"].items():
        assert new["errors"][name]["code"] == error["code"], name
        assert set(error["parents"]) <= set(new["errors"][name]["parents"]), name
    codes = [error["code"] for error in new["errors"].values()]
    assert len(set(codes)) == len(codes)


def test_everything_says_since_when(surfaces):
    old, new = surfaces
    for name, hook in new["hooks"].items():
        assert ADDED.search(hook["doc"]), name
        for argument in set(hook["arguments"]) - set(old["hooks"].get(name, hook)["arguments"]):
            assert re.search(rf"versionadded:: \d+\.\d+\n +.*`{argument}`", hook["doc"]), (name, argument)
    for name, message in new["messages"].items():
        if name in {"BrokenPlugin", "InstalledBackend", "PluginOrigin"}:
            continue  # answers of SubtitleHost, made by the contract itself
        assert ADDED.search(message["doc"]), name
        for field in set(message["fields"]) - set(old["messages"].get(name, message)["fields"]):
            assert re.search(rf"versionadded:: \d+\.\d+\n +.*`{field}`", message["doc"]), (name, field)


# --- the oldest and the newest pluggy ---


def oldest_pluggy():
    text = (ROOT / "hooks" / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'"pluggy>=([\d.]+)', text)[1]
    return f"pluggy=={version}.0" if version.count(".") == 1 else f"pluggy=={version}"


@pytest.mark.parametrize("requirement", [oldest_pluggy(), "pluggy"], ids=["oldest", "newest"])
def test_with_the_oldest_and_the_newest_pluggy(tmp_path, requirement):
    """With a pluggy of its own in front, the tests of discovery, host and contract pass."""
    target = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--upgrade")
    limits = ("--retries", "0", "--timeout", "10", "--disable-pip-version-check")
    fetched = subprocess.run(
        [*pip, *limits, "--target", str(target), requirement], check=False, capture_output=True, text=True, timeout=60
    )
    if fetched.returncode != 0:
        pytest.skip(f"{requirement} cannot be fetched here: {fetched.stderr.strip().splitlines()[-1:]}")
    version = python("-c", "import pluggy; print(pluggy.__version__)", path=[target]).stdout.strip()
    if "==" in requirement:
        assert version == requirement.partition("==")[2]
    here = Path(__file__).parent
    chosen = (here / "test_discovery.py", here / "test_host.py", f"{__file__}::TestFrozenPlugin")
    python("-m", "pytest", "-q", "-n0", "-W", "error", "-p", "no:cacheprovider", *chosen, path=[target])
