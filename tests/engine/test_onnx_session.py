# SPDX-License-Identifier: Apache-2.0
"""The encoder's execution provider: used, refused with the reason, or replaced by the CPU with a warning."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from qwen_asr_model import default_bundle, open_bundle
from qwen_asr_plugin.engine.encoder import Encoder
from qwen_asr_plugin.engine.onnx_session import open_session
from qwen_asr_plugin.errors import OnnxDamagedError, OnnxProviderError


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(default_bundle())


@pytest.fixture
def listed_only(monkeypatch):
    """An onnxruntime that lists CUDA and TensorRT.

    The one installed takes the unknown names with a Python warning and silently computes on the CPU, as
    onnxruntime-gpu does without its CUDA libraries (which also logs the loader's message).
    """
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    if set(names[:2]) & set(onnxruntime.get_available_providers()):
        pytest.skip("this onnxruntime has them")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


@pytest.mark.parametrize(
    ("provider", "package"),
    [("dml", "onnxruntime-directml"), ("cuda:1", "onnxruntime-gpu"), ("tensorrt", "tensorrt"), ("coreml", "macOS")],
)
def test_a_provider_that_is_not_installed_names_the_package(bundle, provider, package):
    with pytest.raises(OnnxProviderError, match=r"has no \w+ExecutionProvider \(it has .*CPU") as caught:
        open_session(bundle.encoder_frontend, provider=provider, threads=1)
    assert package in caught.value.hint


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("provider", ["cuda", "cuda:1", "tensorrt:1"])
def test_a_provider_that_quietly_does_not_start_is_found_out(bundle, listed_only, provider):
    with pytest.raises(OnnxProviderError, match="but it does not start") as caught:
        open_session(bundle.encoder_frontend, provider=provider, threads=1)
    assert ("on device 1" in str(caught.value)) == provider.endswith(":1")
    assert "onnxruntime-gpu[cuda,cudnn]" in caught.value.hint


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_a_damaged_file_is_not_blamed_on_the_provider(tmp_path, listed_only, provider):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"no graph" * 100)
    with pytest.raises(OnnxDamagedError, match="cannot load this encoder graph"):
        open_session(path, provider=provider, threads=1)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_fails_aloud_is_told_from_the_file(bundle, listed_only, monkeypatch):
    real = onnxruntime.InferenceSession

    def failing(path, settings, providers, **others):
        if len(providers) > 1:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nmore")
        return real(path, settings, providers=providers, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    with pytest.raises(OnnxProviderError, match="does not start: CUDA failure 100: no CUDA-capable device is detected"):
        open_session(bundle.encoder_frontend, provider="cuda", threads=1)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_falling_back_needs_leave_and_is_said(bundle, listed_only):
    files = (bundle.encoder_frontend, bundle.encoder_backend)
    with pytest.raises(OnnxProviderError):
        Encoder(*files, provider="cuda")
    fallen, plain = Encoder(*files, provider="cuda", allow_fallback=True), Encoder(*files)
    (warning,) = fallen.warnings
    assert warning.startswith("The encoder runs on the CPU, not on cuda: onnxruntime has CUDAExecutionProvider, but")
    assert (plain.warnings, fallen.provider, plain.provider) == ((), "CPUExecutionProvider", "CPUExecutionProvider")
    samples = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    assert np.array_equal(fallen.encode(samples), plain.encode(samples))


def test_a_missing_file_is_damage_and_no_reason_to_fall_back(tmp_path, bundle):
    with pytest.raises(OnnxDamagedError):
        Encoder(Path(tmp_path / "absent.onnx"), bundle.encoder_backend, allow_fallback=True)
