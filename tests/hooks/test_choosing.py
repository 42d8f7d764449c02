# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from subtitle_hooks import (
    BackendNotFoundError,
    ContractViolationError,
    NoBackendError,
    PluginLoadError,
    SubtitleHost,
    SubtitleRequest,
    hookimpl,
)
from subtitle_hooks.testing import FakeBackend


def host_of(*plugins):
    return SubtitleHost(discover=False, plugins=plugins)


def test_without_a_name_the_first_in_alphabetical_order_is_used(media):
    host = host_of(FakeBackend(name="whisper"), FakeBackend(name="qwen-asr"), FakeBackend(name="vosk"))
    assert [backend.name for backend in host.backends()] == ["qwen-asr", "vosk", "whisper"]
    assert host.backend().name == "qwen-asr"
    assert host.generate(SubtitleRequest(media=media)).backend == "qwen-asr"
    assert host.generate(SubtitleRequest(media=media), backend="vosk").backend == "vosk"


def test_an_unknown_backend_lists_what_is_there():
    with pytest.raises(BackendNotFoundError, match=r"'whispr'.*Installed: vosk, whisper"):
        host_of(FakeBackend(name="whisper"), FakeBackend(name="vosk")).backend("whispr")


def test_no_backend_says_how_to_get_one():
    with pytest.raises(NoBackendError, match="pip install"):
        host_of().generate(SubtitleRequest(media=Path("film.mkv")))


def test_a_plugin_registered_later_counts():
    host = host_of()
    assert host.backends() == []
    host.plugin_manager.register(FakeBackend())
    assert [backend.name for backend in host.backends()] == ["fake"]


def test_the_programs_own_plugins_must_be_sound():
    with pytest.raises(PluginLoadError, match=r"registered by this program.*implements no hook"):
        host_of(object())


def test_two_offers_of_one_name_are_both_left_out_and_named(good_site, good_plugin_code, media):
    good_site.install("copycat", good_plugin_code, version="3.1")
    host = SubtitleHost(plugins=[FakeBackend()])
    assert [backend.name for backend in host.backends()] == ["fake"]
    assert sorted(broken.distribution for broken in host.broken) == ["copycat", "good-plugin"]
    for broken in host.broken:
        assert isinstance(broken.error, ContractViolationError)
        assert "copycat 3.1" in str(broken.error)
        assert "good-plugin 1.0" in str(broken.error)
    with pytest.raises(BackendNotFoundError, match=r"copycat 3\.1"):
        host.backend("good")
    with pytest.raises(ContractViolationError, match="copycat"):
        SubtitleHost(strict=True).backends()


def test_only_the_owner_of_a_backend_is_asked(media):
    class Greedy(FakeBackend):
        @hookimpl(tryfirst=True)
        def generate_subtitles(self, request):
            raise AssertionError("asked for another plugin's backend")

    transcript = host_of(FakeBackend(), Greedy(name="greedy")).generate(SubtitleRequest(media=media), backend="fake")
    assert len(list(transcript)) == 4


def test_wrappers_of_other_plugins_wrap(media):
    calls = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def generate_subtitles(self, backend):
            calls.append(backend)
            return (yield)

    list(host_of(FakeBackend(), Wrapper()).generate(SubtitleRequest(media=media)))
    assert calls == ["fake"]
