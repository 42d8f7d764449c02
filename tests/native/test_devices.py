# SPDX-License-Identifier: Apache-2.0
"""Listing devices, in a child process, and choosing one: real libraries, and made-up ones with graphics cards."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qwen_asr_native import Context, DeviceError, Library, Model
from qwen_asr_native import model as model_module
from qwen_asr_native.devices import CPU, Device, FoundDevice, find_device, list_devices

_MAINLINE = """
#include <unistd.h>
struct device { const char *name, *about, *backend; int type; size_t free, total; };
static const struct device devices[] = { DEVICES };
const void *ggml_backend_dev_get(size_t i) { return &devices[i]; }
size_t ggml_backend_dev_count(void) { return sizeof devices / sizeof *devices; }
const char *ggml_backend_dev_name(const struct device *d) { return d->name; }
const char *ggml_backend_dev_description(const struct device *d) { return d->about; }
int ggml_backend_dev_type(const struct device *d) { return d->type; }
const void *ggml_backend_dev_backend_reg(const struct device *d) { return d; }
const char *ggml_backend_reg_name(const struct device *d) { return d->backend; }
void ggml_backend_dev_memory(const struct device *d, size_t *free, size_t *total) {
    BEFORE
    *free = d->free; *total = d->total;
}
"""
_NEW = "const char *llama_flash_attn_type_name(int t) { return 0; }"
_TWO_GPUS = (
    '{"CPU", "A processor", "CPU", 0, 5, 8}, {"BLAS", "OpenBLAS", "BLAS", 3, 0, 0}, '
    '{"Vulkan0", "Inside", "Vulkan", 2, 1, 2}, {"CUDA0", "A card", "CUDA", 1, 1073741824, 2147483648}, '
    '{"CUDA1", "Another", "CUDA", 1, 3, 4}, {"NEW0", "", "NEW", 77, 0, 0}'
)
_IK = """
#include <stdio.h>
static const char *names[] = { NAMES };
size_t ggml_backend_reg_get_count(void) { return sizeof names / sizeof *names; }
const char *ggml_backend_reg_get_name(size_t i) { return names[i]; }
void ggml_backend_cuda_get_device_memory(int d, size_t *free, size_t *total) { *free = d; *total = 10; }
void ggml_backend_cuda_get_device_description(int d, char *text, size_t n) { snprintf(text, n, "Card %d", d); }
"""


def _mainline(devices: str, before: str = "") -> str:
    return _MAINLINE.replace("DEVICES", devices).replace("BEFORE", before)


@pytest.fixture
def opened() -> Callable[..., Any]:
    """Make-believe of a `Library` around a made-up file: what `find_device` looks at."""

    def make(path: Path, family: str = "mainline") -> Any:
        handle = ctypes.CDLL(str(path))
        return SimpleNamespace(
            functions=SimpleNamespace(handle=handle),
            path=path,
            verdict=SimpleNamespace(family=family),
            describe=lambda: f"a library of {family}",
        )

    return make


def test_installed_libraries_have_the_cpu(library: Library) -> None:
    started = time.monotonic()
    devices = list_devices(library.path)
    assert time.monotonic() - started < 20
    cpu = devices[0]
    assert (cpu.name, cpu.kind, cpu.backend) == ("CPU", "cpu", "CPU")
    if library.verdict.family == "mainline":
        assert cpu.description
        assert cpu.memory_free is not None
        assert cpu.memory_total is not None
        assert 0 < cpu.memory_free <= cpu.memory_total
        assert "GiB free" in cpu.describe()
    assert find_device(library, "CPU").device.name == "CPU"


def test_graphics_cards_are_listed_with_kind_and_memory(compile_library: Callable[..., Path]) -> None:
    devices = list_devices(compile_library(_mainline(_TWO_GPUS) + _NEW))
    assert [(device.name, device.kind) for device in devices] == [
        ("CPU", "cpu"),
        ("BLAS", "accelerator"),
        ("Vulkan0", "igpu"),
        ("CUDA0", "gpu"),
        ("CUDA1", "gpu"),
        ("NEW0", "other"),
    ]
    assert devices[3] == Device(
        name="CUDA0", description="A card", kind="gpu", backend="CUDA", memory_free=2**30, memory_total=2**31
    )
    assert devices[3].describe() == "CUDA0 (A card, 1.0 of 2.0 GiB free)"
    assert (devices[1].memory_free, devices[1].memory_total) == (None, None)


def test_older_builds_number_their_kinds_otherwise(compile_library: Callable[..., Path]) -> None:
    devices = list_devices(compile_library(_mainline('{"BLAS", "", "BLAS", 2, 0, 0}, {"X", "", "X", 3, 0, 0}')))
    assert [device.kind for device in devices] == ["accelerator", "other"]


def test_a_driver_that_crashes_is_named(compile_library: Callable[..., Path]) -> None:
    path = compile_library(
        _mainline(_TWO_GPUS, before='if (d->name[4] == 49) { write(2, "bad card\\n", 9); abort(); }')
    )
    with pytest.raises(DeviceError, match=r"SIGABRT in ggml_backend_dev_memory\(CUDA1\)\. It said: bad card") as error:
        list_devices(path)
    assert error.value.code == "device"


def test_a_driver_that_hangs_is_named_and_ended(compile_library: Callable[..., Path]) -> None:
    path = compile_library(_mainline(_TWO_GPUS, before="if (d->type == 1) sleep(600);"))
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"did not end within 1\.5 s; it hangs in ggml_backend_dev_memory\(CUDA0\)"):
        list_devices(path, timeout=1.5)
    assert time.monotonic() - started < 10


def test_what_is_no_library_is_said(tmp_path: Path, compile_library: Callable[..., Path]) -> None:
    path = tmp_path / "libother.so"
    path.write_bytes(b"no library")
    with pytest.raises(DeviceError, match=r"libother\.so.*no devices could be listed"):
        list_devices(path)
    with pytest.raises(DeviceError, match="does not export ggml_backend_reg_get_count"):
        list_devices(compile_library("int x;"))


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("gpu", "CUDA0"),
        ("cuda1", "CUDA1"),
        (" CUDA1 ", "CUDA1"),
        ("cuda", "CUDA0"),
        ("vulkan", "Vulkan0"),
        ("igpu", "Vulkan0"),
        ("cpu", "CPU"),
        ("NEW0", "NEW0"),
    ],
)
def test_a_device_is_chosen_by_name_kind_or_backend(
    wanted: str, name: str, compile_library: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    library = opened(compile_library(_mainline(_TWO_GPUS, before="abort();") + _NEW))
    found = find_device(library, wanted)
    assert found.device.name == name
    assert found.address


def test_gpu_is_the_one_in_the_processor_when_there_is_no_other(
    compile_library: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    devices = '{"RPC0", "", "RPC", 1, 0, 0}, {"MTL0", "Apple", "MTL", 2, 0, 0}'
    library = opened(compile_library(_mainline(devices) + _NEW))
    assert find_device(library, "gpu").device.name == "MTL0"
    assert find_device(library, "metal").device.name == "MTL0"


def test_what_cannot_be_chosen_is_explained(compile_library: Callable[..., Path], opened: Callable[..., Any]) -> None:
    library = opened(compile_library(_mainline(_TWO_GPUS) + _NEW))
    with pytest.raises(DeviceError, match=r"no device 'CUDA2' .*CPU \(A processor\), .*CUDA1 \(Another\)"):
        find_device(library, "CUDA2")
    with pytest.raises(DeviceError, match="by itself"):
        find_device(library, "BLAS")


def test_a_cpu_build_says_that_it_is_one(library: Library) -> None:
    if any(device.kind != "cpu" for device in list_devices(library.path)):
        pytest.skip("this computer has a GPU that the library uses")
    for wanted in ("gpu", "CUDA0"):
        with pytest.raises(DeviceError, match="It sees no GPU"):
            find_device(library, wanted)


def test_ik_uses_its_first_gpu_only(compile_library: Callable[..., Path], opened: Callable[..., Any]) -> None:
    path = compile_library(_IK.replace("NAMES", '"CPU", "CUDA0", "CUDA1"'))
    assert list_devices(path)[2] == Device(
        name="CUDA1", description="Card 1", kind="gpu", backend="CUDA", memory_free=1, memory_total=10
    )
    library = opened(path, "ik")
    first = find_device(library, "gpu")
    assert (first.device.name, first.alone) == ("CUDA0", False)
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES"):
        find_device(library, "CUDA1")


def test_the_cpu_by_name_computes_the_same(library: Library, tiny: Any) -> None:
    found = []
    for device in (None, "cpu", "CPU"):
        with Model(library, tiny.path, device=device) as model, Context(model, n_ctx=64) as context:
            assert model.device.kind == "cpu"
            context.decode_tokens([5, 6, 7, 8], 0, logits=True)
            found.append(context.logits().tobytes())
    assert found[0] == found[1] == found[2]


def test_contradictions_are_refused(library: Library, tiny: Any) -> None:
    with pytest.raises(DeviceError, match="leave out one"):
        Model(library, tiny.path, device="cpu", gpu_layers=2)
    with pytest.raises(DeviceError, match="There is no device 'Vulkan9'"):
        Model(library, tiny.path, device="Vulkan9")
    if not library.supports_gpu:
        with pytest.raises(DeviceError, match="There is no device 'gpu'"):
            Model(library, tiny.path, gpu_layers=-1)


def _pretend_gpu(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that the library knows nothing of: it computes on the CPU, and does not say so."""
    address = find_device(library, "cpu").address
    card = FoundDevice(device=Device(name="CUDA0", kind="gpu", backend="CUDA"), address=address)
    monkeypatch.setattr(model_module, "find_device", lambda *_: card)


def test_layers_left_on_the_cpu_are_noticed(library: Library, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_gpu(library, monkeypatch)
    with pytest.raises(DeviceError, match=r"on CUDA0: it left all of it on the CPU \(CPU"):
        Model(library, tiny.path, device="CUDA0")
    with pytest.raises(DeviceError, match="gpu_layers is 0"):
        Model(library, tiny.path, device="CUDA0", gpu_layers=0)


def test_a_device_without_room_is_told_from_a_damaged_file(
    library: Library, tiny: Any, tmp_path: Path, model_writer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_gpu(library, monkeypatch)
    load = library.functions.load_model
    monkeypatch.setattr(
        library.functions, "load_model", lambda path, params: None if params.n_gpu_layers else load(path, params)
    )
    with pytest.raises(DeviceError, match="cannot put this model on CUDA0, though it can load it on the CPU"):
        Model(library, tiny.path, gpu_layers=1)
    model_writer(tmp_path / "unknown.gguf", "qwen9")
    with pytest.raises(model_module.ModelLoadError, match="qwen9"):
        Model(library, tmp_path / "unknown.gguf", gpu_layers=1)


@pytest.mark.parametrize(
    ("device", "buffer", "there"),
    [
        (Device(name="CUDA0", kind="gpu", backend="CUDA"), "CUDA0", True),
        (Device(name="CUDA1", kind="gpu", backend="CUDA"), "CUDA10", False),
        (Device(name="CUDA0", kind="gpu", backend="CUDA"), "CUDA_Host", False),
        (Device(name="MTL0", kind="gpu", backend="MTL"), "MTL0_Mapped", True),
        (Device(name="Metal", kind="gpu", backend="Metal"), "Metal_Mapped", True),
        (Device(name="GPUOpenCL", kind="gpu", backend="OpenCL"), "OpenCL", True),
        (Device(name="Vulkan0", kind="gpu", backend="Vulkan"), "CPU_Mapped", False),
    ],
)
def test_buffers_of_a_device_are_known_by_name(device: Device, buffer: str, there: bool) -> None:
    log = f"load_tensors: {buffer:>12} model buffer size =   123.45 MiB"
    log += f" | llm_load_tensors: {buffer:>10} buffer size =    1.00 MiB"
    assert [model_module._is_memory_of(device, name) for name in model_module._BUFFER.findall(log)] == [there] * 2
    assert CPU.describe() == "CPU"
