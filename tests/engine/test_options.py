# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from qwen_asr_plugin.options import MAX_LANES, EngineOptions, default_lanes, parse_options
from subtitle_hooks import RequestError


def test_texts_from_a_command_line_become_typed_values():
    parsed = parse_options(
        {
            "model": "~/m",
            "threads": "2",
            "lanes": "2",
            "allow-damaged": "yes",
            "gpu_layers": "-1",
            "timeout_factor": "5",
        }
    )
    assert parsed == EngineOptions(
        model=Path("~/m").expanduser(), threads=2, lanes=2, allow_damaged=True, gpu_layers=-1, timeout_factor=5.0
    )


def test_nothing_is_the_defaults():
    assert parse_options({}) == parse_options({"model": None, "libllama": None}) == EngineOptions()


@pytest.mark.parametrize(
    "values",
    [
        {"thread": "2"},
        {"threads": "two"},
        {"threads": "-1"},
        {"threads": "100000"},
        {"lanes": str(MAX_LANES + 1)},
        {"timeout_factor": "nan"},
        {"timeout_factor": "inf"},
        {"gpu_layers": "-2"},
        {"allow_damaged": "perhaps"},
        {"isolation": "thread"},
        {"onnx_provider": "abacus"},
        {"onnx_provider": "cuda:first"},
        {"onnx_provider": "cuda:"},
        {"onnx_provider": "cpu:1"},
        {"allow_fallback": "perhaps"},
        {"device": "cpu", "gpu_layers": "3"},
        {"device": "CUDA0", "gpu_layers": "0"},
    ],
)
def test_what_cannot_be_is_refused_by_name(values):
    with pytest.raises(RequestError) as caught:
        parse_options(values)
    assert next(iter(values)) in str(caught.value)


def test_devices_are_named():
    parsed = parse_options({"device": "CUDA0", "gpu_layers": "12", "onnx-provider": "CUDA:1", "allow-fallback": "on"})
    assert (parsed.device, parsed.gpu_layers, parsed.onnx_provider) == ("CUDA0", 12, "cuda:1")
    assert parsed.allow_fallback
    assert parsed.engine_part() == parsed, "all of it decides whether a worker fits"
    assert parse_options({"device": "cpu", "gpu_layers": "0"}).gpu_layers == 0
    assert parse_options({"gpu_layers": "-1"}).device is None


def test_what_is_about_one_file_does_not_ask_for_another_worker():
    here, there = EngineOptions(ffmpeg=Path("a"), allow_damaged=True), EngineOptions()
    assert here.engine_part() == there.engine_part()
    assert EngineOptions(threads=1).engine_part() != there.engine_part()


@pytest.mark.parametrize(("threads", "lanes"), [(1, 1), (2, 2), (8, 8), (64, 8)])
def test_lanes_have_one_thread_each_while_there_are_few(threads, lanes):
    assert default_lanes(threads) == lanes
