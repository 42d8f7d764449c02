# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys

import pytest

from subtitle_hooks import NoBackendError, PluginLoadError, SubtitleHost, SubtitleRequest

BROKEN = {
    "missing module": ("import nothing_of_this_name", "ModuleNotFoundError"),
    "syntax error": ("def (:", "SyntaxError"),
    "error at import": ("raise RuntimeError('no GPU here')", "RuntimeError: no GPU here"),
    "exit at import": ("import sys\nsys.exit('bye')", "SystemExit: bye"),
    "no hook": ("x = 1", "implements no hook"),
    "unknown hook": (
        "from subtitle_hooks import hookimpl\n@hookimpl\ndef make_coffee(): ...",
        "unknown hook 'make_coffee'",
    ),
    "unknown argument": (
        "from subtitle_hooks import hookimpl\n@hookimpl\ndef probe_media(backend, request, colour): ...",
        "colour",
    ),
    "partly wrong": (
        "from subtitle_hooks import hookimpl as h\n@h\ndef subtitle_backends(): 1\n@h\ndef probe_media(nonsense): ...",
        "nonsense",
    ),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_recorded_and_the_others_work(good_site, media, code, reason):
    good_site.install("bad-plugin", code, version="2.3")
    host = SubtitleHost()
    assert [backend.name for backend in host.backends()] == ["good"]
    (broken,) = host.broken
    assert (broken.distribution, broken.version, broken.entry_point) == ("bad-plugin", "2.3", "bad-plugin")
    assert isinstance(broken.error, PluginLoadError)
    assert "bad-plugin 2.3" in str(broken.error)
    assert reason in str(broken.error)
    assert "Traceback" in broken.traceback
    assert len(list(host.generate(SubtitleRequest(media=media)))) == 2


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_strict_raises_for_a_broken_plugin(good_site, code, reason):
    good_site.install("bad-plugin", code)
    with pytest.raises(PluginLoadError) as caught:
        SubtitleHost(strict=True)
    assert reason in str(caught.value)


def test_a_plugin_that_fails_registration_leaves_no_hook_behind(good_site):
    good_site.install("bad-plugin", BROKEN["partly wrong"][0])
    host = SubtitleHost()
    implementers = [impl.plugin_name for impl in host.plugin_manager.hook.subtitle_backends.get_hookimpls()]
    assert implementers == ["good-plugin:good-plugin"]


def test_original_exception_is_kept(site):
    site.install("bad-plugin", BROKEN["error at import"][0])
    (broken,) = SubtitleHost().broken
    assert isinstance(broken.error.__cause__, RuntimeError)


def test_a_class_is_refused_with_advice(site):
    site.install(
        "bad-plugin",
        "from subtitle_hooks import hookimpl\nclass P:\n  @hookimpl\n  def subtitle_backends(self): ...",
        entry_points="[subtitle_hooks]\nbad-plugin = bad_plugin_module:P\n",
    )
    (broken,) = SubtitleHost().broken
    assert "is the class P" in str(broken.error)
    assert "module or an instance" in str(broken.error)


def test_an_instance_that_cannot_be_hashed_is_refused(site):
    site.install(
        "bad-plugin",
        "from subtitle_hooks import hookimpl\nclass P(dict):\n  @hookimpl\n  def subtitle_backends(self): ...\np = P()",
        entry_points="[subtitle_hooks]\nbad-plugin = bad_plugin_module:p\n",
    )
    (broken,) = SubtitleHost().broken
    assert "unhashable" in str(broken.error)


def test_unreadable_metadata_is_recorded(good_site):
    good_site.install("bad-plugin", version="0.9", entry_points="[subtitle_hooks]\nno equals sign\n")
    host = SubtitleHost()
    assert [backend.name for backend in host.backends()] == ["good"]
    (broken,) = host.broken
    assert broken.distribution == "bad-plugin"
    assert "unreadable metadata" in str(broken.error)


def test_a_missing_attribute_of_the_entry_point_is_recorded(site):
    site.install("bad-plugin", "x = 1", entry_points="[subtitle_hooks]\nbad-plugin = bad_plugin_module:gone\n")
    (broken,) = SubtitleHost().broken
    assert "gone" in str(broken.error)


def test_other_groups_are_not_touched(site):
    site.install("other", "raise RuntimeError", entry_points="[console_scripts]\nsubtitle_hooks = other_module:main\n")
    assert SubtitleHost().broken == []


def test_the_distribution_of_each_plugin_is_known_to_pluggy(good_site):
    host = SubtitleHost()
    ((plugin, distribution),) = host.plugin_manager.list_plugin_distinfo()
    assert plugin is sys.modules["good_plugin_module"]
    assert distribution.project_name == "good-plugin"
    assert str(host.backends()[0].origin) == "good-plugin 1.0 (entry point 'good-plugin')"


def test_of_two_versions_on_the_path_the_first_counts(site, good_plugin_code, tmp_path, monkeypatch):
    site.install("good-plugin", good_plugin_code, version="2.0")
    site.install("good-plugin", "raise RuntimeError", version="1.0", folder=tmp_path / "older")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "older")])
    host = SubtitleHost()
    assert [backend.origin.version for backend in host.backends()] == ["2.0"]
    assert host.broken == []


def test_two_distributions_may_use_the_same_entry_point_name(good_site, good_plugin_code):
    good_site.install(
        "second",
        good_plugin_code.replace('"good"', '"second"'),
        entry_points="[subtitle_hooks]\ngood-plugin = second_module\n",
    )
    host = SubtitleHost()
    assert [backend.name for backend in host.backends()] == ["good", "second"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("good-plugin", ["good"]),
        ("Good_Plugin", ["good"]),
        ("entry", ["second"]),
        ("second-plugin", ["second"]),
        (" good-plugin , entry ", ["good", "second"]),
        ("", []),
        (" , ", []),
    ],
)
def test_the_environment_chooses(good_site, good_plugin_code, monkeypatch, setting, expected):
    good_site.install(
        "second-plugin",
        good_plugin_code.replace('"good"', '"second"'),
        entry_points="[subtitle_hooks]\nentry = second_plugin_module\n",
    )
    monkeypatch.setenv("SUBTITLE_HOOKS_PLUGINS", setting)
    host = SubtitleHost()
    assert [backend.name for backend in host.backends()] == expected
    assert host.broken == []


def test_what_is_not_chosen_is_not_imported(good_site, monkeypatch):
    good_site.install("bad-plugin", "raise RuntimeError")
    monkeypatch.setenv("SUBTITLE_HOOKS_PLUGINS", "good-plugin")
    assert SubtitleHost(strict=True).backends()
    assert "bad_plugin_module" not in sys.modules


def test_a_chosen_plugin_that_is_not_installed_is_reported(good_site, monkeypatch):
    monkeypatch.setenv("SUBTITLE_HOOKS_PLUGINS", "good-plugin,godo-plugin")
    (broken,) = SubtitleHost().broken
    assert "'godo-plugin'" in str(broken.error)
    with pytest.raises(PluginLoadError, match="godo-plugin"):
        SubtitleHost(strict=True)


def test_an_empty_choice_explains_why_there_is_no_backend(good_site, monkeypatch):
    monkeypatch.setenv("SUBTITLE_HOOKS_PLUGINS", "")
    with pytest.raises(NoBackendError, match="SUBTITLE_HOOKS_PLUGINS is set to ''"):
        SubtitleHost().backend()


def test_the_order_does_not_depend_on_the_file_system(site, good_plugin_code):
    for name in ("c-plugin", "a-plugin", "b-plugin"):
        site.install(name, good_plugin_code.replace('"good"', f'"{name}"'))
    names = [name for name, _ in SubtitleHost().plugin_manager.list_name_plugin()]
    assert names == ["a-plugin:a-plugin", "b-plugin:b-plugin", "c-plugin:c-plugin"]
