# SPDX-License-Identifier: Apache-2.0
"""Finding a library, recognising its layouts, and refusing everything else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import qwen_asr_native
from qwen_asr_native import (
    DependencyError,
    LayoutError,
    Library,
    LibraryCrashedError,
    LibraryLoadError,
    LibraryNotFoundError,
    MissingSymbolError,
    NativeError,
    diagnose,
    load_library,
)
from qwen_asr_native.layout_tables import LAYOUTS, layouts_of
from qwen_asr_native.layouts import Layout, Sample
from qwen_asr_native.probe import match, verify
from qwen_asr_native.providers import PROVIDERS

_NAMES = [layout.name for layout in layouts_of("context_params")]


def _layout(kind: str, name: str) -> Layout:
    (found,) = (layout for layout in LAYOUTS if layout.kind == kind and layout.name == name)
    return found


def _generation(context: str) -> list[Layout]:
    """A model, context and batch layout that occur together with a context layout."""
    family = _layout("context_params", context).family
    model = {"mainline-2026-10": "mainline-2026-09"}.get(context, context)
    batch = {"ik": "ik-0.1.5", "mainline": "mainline"}[family]
    return [_layout("model_params", model), _layout("context_params", context), _layout("batch", batch)]


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QWEN_ASR_LIBLLAMA", raising=False)


def test_sizes_of_the_real_headers() -> None:
    assert {(layout.kind, layout.name): layout.size for layout in LAYOUTS} == {
        ("model_params", "ik-0.1.5"): 168,
        ("model_params", "mainline-2025-08"): 72,
        ("model_params", "mainline-2026-05"): 72,
        ("model_params", "mainline-2026-09"): 80,
        ("context_params", "ik-0.1.5"): 216,
        ("context_params", "mainline-2025-08"): 120,
        ("context_params", "mainline-2026-05"): 136,
        ("context_params", "mainline-2026-09"): 160,
        ("context_params", "mainline-2026-10"): 168,
        ("quantize_params", "ik-0.1.5"): 96,
        ("quantize_params", "mainline-2025-08"): 56,
        ("quantize_params", "mainline-2026-05"): 56,
        ("quantize_params", "mainline-2026-09"): 64,
        ("batch", "ik-0.1.5"): 72,
        ("batch", "mainline"): 56,
    }


def test_installed_library_is_recognised(library: Library) -> None:
    expected = {"ik-llama-cpp-python": "ik-0.1.5", "xllamacpp": "mainline-2026-10 + mainline-2026-09"}
    assert library.layout == expected[library.provider]
    assert library.can_quantize == (library.provider == "ik-llama-cpp-python")
    assert library.provider in library.describe()
    assert str(library.path) in library.describe()
    assert load_library(library.path) is load_library(library.provider) is library


@pytest.mark.parametrize("name", _NAMES)
def test_every_generation_is_recognised(
    name: str, struct_source: Callable[[Layout], str], compile_library: Callable[..., Path]
) -> None:
    layouts = _generation(name)
    verdict = verify(compile_library("".join(map(struct_source, layouts))))
    assert [verdict.model_params, verdict.context_params, verdict.batch] == layouts


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("kind", ["model_params", "context_params"])
def test_same_size_but_shifted_is_refused(
    name: str, kind: str, struct_source: Callable[[Layout], str], compile_library: Callable[..., Path]
) -> None:
    """Neighbours change places: nothing would crash, everything would be wrong."""
    layouts = _generation(name)
    index = next(index for index, layout in enumerate(layouts) if layout.kind == kind)
    fields = list(layouts[index].fields)
    first = {"model_params": "n_ubatch" if name == "ik-0.1.5" else "n_gpu_layers", "context_params": "n_ubatch"}[kind]
    at = next(at for at, field in enumerate(fields) if field.name == first)
    fields[at], fields[at + 1] = fields[at + 1], fields[at]
    shifted = dataclasses.replace(layouts[index], fields=tuple(fields))
    assert shifted.size == layouts[index].size
    layouts[index] = shifted
    with pytest.raises(
        LayoutError, match=rf"llama_{kind} has a layout that is not known.*Known builds: ik-llama"
    ) as error:
        verify(compile_library("".join(map(struct_source, layouts))))
    assert re.search(rf"{fields[at].name}@\d+ is -?\d+, expected -?\d+", str(error.value))
    assert re.search(rf"The library wrote {layouts[index].size}|The library wrote \d+ bytes", str(error.value))


def test_a_new_field_at_the_end_is_refused(
    struct_source: Callable[[Layout], str], compile_library: Callable[..., Path]
) -> None:
    model, context, batch = _generation("mainline-2026-10")
    longer = dataclasses.replace(context, fields=(*context.fields, model.fields[0]))
    with pytest.raises(LayoutError, match="176 bytes written, 168 expected"):
        verify(compile_library("".join(map(struct_source, (model, longer, batch)))))


def test_a_mix_of_two_projects_is_refused(
    struct_source: Callable[[Layout], str], compile_library: Callable[..., Path]
) -> None:
    model, _, batch = _generation("mainline-2026-10")
    mixed = [model, _generation("ik-0.1.5")[1], batch]
    with pytest.raises(LayoutError, match=r"llama_model_params has a layout.*Against ik"):
        verify(compile_library("".join(map(struct_source, mixed))))


def test_layouts_are_told_apart_without_knowing_what_was_written() -> None:
    """Where the calling convention hides it (64-bit Arm), the values alone must decide."""
    for layout in LAYOUTS:
        value = layout.structure()
        for field in layout.fields:
            default = field.defaults.start if isinstance(field.defaults, range) else field.defaults[0]  # type: ignore[index]
            setattr(value, field.name, default)
        assert match(layout.kind, Sample(data=bytes(value) + bytes(512), written=None), layout.family) is layout


@pytest.mark.parametrize("statement", ["abort();", "*(volatile int *) 0 = 1;"])
def test_a_library_that_crashes_does_not_take_us_with_it(statement: str, compile_library: Callable[..., Path]) -> None:
    path = compile_library(f"void *llama_model_default_params(void *r) {{ {statement} return r; }}")
    with pytest.raises(
        LibraryCrashedError, match=r"died with SIG(ABRT|SEGV|BUS|TRAP|ILL) in llama_model_default_params"
    ):
        load_library(path)


def test_a_library_that_exits_is_not_taken_for_verified(compile_library: Callable[..., Path]) -> None:
    path = compile_library("__attribute__((constructor)) static void leave(void) { exit(0); }")
    with pytest.raises(LibraryCrashedError, match="exit status 0 in loading"):
        load_library(path)


def test_another_library_is_no_libllama(compile_library: Callable[..., Path]) -> None:
    with pytest.raises(MissingSymbolError, match=r"not a libllama.*llama_context_default_params"):
        load_library(compile_library("int nothing(void) { return 0; }"))


def test_a_missing_function_is_named(
    struct_source: Callable[[Layout], str], compile_library: Callable[..., Path]
) -> None:
    path = compile_library("".join(map(struct_source, _generation("mainline-2026-10"))))
    with pytest.raises(MissingSymbolError, match="does not export llama_backend_init"):
        load_library(path)


def test_a_missing_dependency_is_named(compile_library: Callable[..., Path], tmp_path: Path) -> None:
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs gcc and the linker options of Linux")
    other = compile_library("int other(void) { return 1; }", "libother")
    path = tmp_path / "libllama.so"
    source = tmp_path / "needs.c"
    source.write_text("int other(void); int llama_needs(void) { return other(); }")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(path), str(source), str(other)], check=True)
    other.unlink()
    with pytest.raises(DependencyError, match=r"libother\.so"):
        load_library(path)


def test_a_dependency_beside_the_library_is_found(tmp_path: Path) -> None:
    """Built without rpath, as the macOS wheels of ik-llama-cpp-python are."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs gcc and the linker options of Linux")
    (tmp_path / "ggml.c").write_text("int ggml_thing(void) { return 1; }")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Wl,-soname,libggml.so", "-o", "libggml.so", "ggml.c"], check=True, cwd=tmp_path
    )
    source = tmp_path / "needs.c"
    source.write_text("int ggml_thing(void); int llama_needs(void) { return ggml_thing(); }")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", "libllama.so", "needs.c", "-L.", "-lggml"], check=True, cwd=tmp_path
    )
    with pytest.raises(MissingSymbolError, match="not a libllama"):  # so it was loaded
        load_library(tmp_path)


def test_not_a_library(tmp_path: Path) -> None:
    path = tmp_path / "libllama.so"
    path.write_bytes(b"this is text")
    with pytest.raises(LibraryLoadError, match="the system cannot load this library"):
        load_library(path)


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFoundError, match="no such file or folder"):
        load_library(tmp_path / "libllama.so")
    with pytest.raises(LibraryNotFoundError, match="no libllama in this folder"):
        load_library(tmp_path)
    with pytest.raises(LibraryNotFoundError, match=r"neither a path nor a provider .*xllamacpp"):
        load_library("llama-cpp")


def test_what_to_call_it(library: Library) -> None:
    assert library.title.startswith(f"{library.provider} ")
    assert library.version in library.title
    own = SimpleNamespace(provider="path", path=Path("somewhere", "libllama.so"), layout="ik-0.1.5", version="")
    assert Library.title.fget(own) == "libllama.so (ik-0.1.5)"  # type: ignore[attr-defined]


def test_the_environment_variable_decides(library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QWEN_ASR_LIBLLAMA", str(library.path))
    assert load_library() is library
    monkeypatch.setenv("QWEN_ASR_LIBLLAMA", str(library.path.parent))
    if library.path.name.startswith("libllama"):
        assert load_library() is library
    monkeypatch.setenv("QWEN_ASR_LIBLLAMA", library.provider)
    assert load_library() is library
    monkeypatch.setenv("QWEN_ASR_LIBLLAMA", str(tmp_path / "gone.so"))
    with pytest.raises(LibraryNotFoundError, match=r"gone\.so.*named by QWEN_ASR_LIBLLAMA"):
        load_library()
    assert load_library(library.provider) is library
    (first, *_) = diagnose()
    assert (first.name, first.installed, first.verified) == ("path", False, False)


@pytest.mark.usefixtures("no_environment")
def test_the_order_is_kept(library: Library) -> None:
    reports = diagnose()
    assert [report.name for report in reports] == [provider.name for provider in PROVIDERS]
    first = next(report for report in reports if report.verified)
    assert load_library().provider == first.name
    assert diagnose("xllamacpp")[0].name == "xllamacpp"
    found = next(report for report in reports if report.name == library.provider)
    assert (found.path, found.layout) == (library.path, library.layout)
    assert found.version
    assert library.layout in found.describe()


@pytest.mark.usefixtures("no_environment")
def test_a_provider_that_fails_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "ik_llama_cpp"
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package was imported')")
    name = {"win32": "llama.dll", "darwin": "libllama.dylib"}.get(sys.platform, "libllama.so")
    (package / "lib" / name).write_bytes(b"rubbish")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_library().provider == "xllamacpp"
    assert "ik-llama-cpp-python not used" in caplog.text
    report = next(report for report in diagnose() if report.name == "ik-llama-cpp-python")
    assert (report.installed, report.verified, report.code) == (True, False, "library-not-loadable")
    assert report.describe().startswith("not usable: ")
    (package / "lib" / name).unlink()
    report = next(report for report in diagnose() if report.name == "ik-llama-cpp-python")
    assert "there is no" in report.reason


@pytest.mark.usefixtures("no_environment")
def test_nothing_installed_lists_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LibraryNotFoundError) as error:
        load_library()
    for expected in ("QWEN_ASR_LIBLLAMA: not set", *(f"{provider.name}: not installed" for provider in PROVIDERS)):
        assert expected in str(error.value)
    assert "pip install ik-llama-cpp-python" in str(error.value)
    assert error.value.code == "library-not-found"


def test_the_answers_are_kept_by_the_hash_of_the_file(library: Library, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = verify(library.path, cache_dir=cache)
    (stored,) = cache.glob("*.json")
    with library.path.open("rb") as file:
        assert stored.stem == hashlib.sha256(file.read()).hexdigest()
    records = json.loads(stored.read_text())
    records["system"]["text"] = "from the cache"
    stored.write_text(json.dumps(records))
    assert verify(library.path, cache_dir=cache).system == "from the cache"
    records["context_params"]["data"] = "not hex"
    for damage in ("{damaged", "[]", json.dumps(records)):
        stored.write_text(damage)
        assert verify(library.path, cache_dir=cache) == first
    for note in cache.glob("*.sha256"):
        note.write_text("../elsewhere")
    assert verify(library.path, cache_dir=cache) == first
    assert len(list(cache.iterdir())) == 2


def test_kept_answers_follow_the_content_not_the_name(
    struct_source: Callable[[Layout], str], compile_library: Callable[..., Path], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    path = compile_library("".join(map(struct_source, _generation("mainline-2026-10"))))
    verify(path, cache_dir=cache)
    (stored,) = cache.glob("*.json")
    stored.write_text(stored.read_text().replace('"kind": "batch"', '"kind": "batch", "kept": true'))
    moved = Path(shutil.copy(path, tmp_path / "other.so"))
    verify(moved, cache_dir=cache)
    assert '"kept": true' in stored.read_text()
    assert len(list(cache.glob("*.json"))) == 1
    path = compile_library("".join(map(struct_source, _generation("mainline-2026-05"))))
    assert verify(path, cache_dir=cache).name == "mainline-2026-05"
    assert len(list(cache.glob("*.json"))) == 2


def test_a_cache_that_cannot_be_written_does_no_harm(library: Library, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert verify(library.path, cache_dir=tmp_path / "file").name == library.layout


def test_the_command_prints_the_verdict(library: Library, tmp_path: Path) -> None:
    def run(path: Path) -> tuple[int, dict[str, object]]:
        environment = {**os.environ, "PYTHONPATH": str(Path(qwen_asr_native.__file__).parent.parent)}
        child = subprocess.run(
            [sys.executable, "-W", "error", "-m", "qwen_asr_native.probe", str(path)],
            capture_output=True,
            env=environment,
            check=False,
        )
        assert child.stderr == b""
        return child.returncode, json.loads(child.stdout)

    code, answer = run(library.path)
    assert (code, answer["verified"], answer["layout"]) == (0, True, library.layout)
    code, answer = run(tmp_path / "absent.so")
    assert (code, answer["verified"], answer["code"]) == (1, False, "library-not-loadable")


def test_importing_is_quick_and_loads_nothing() -> None:
    code = (
        "import sys, qwen_asr_native as q; assert 'numpy' not in sys.modules; assert sorted(q.__all__) == dir(q); "
        "[getattr(q, name) for name in q.__all__]; "
        "assert not {'ik_llama_cpp', 'xllamacpp', 'llama_cpp'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(qwen_asr_native.__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_every_error_has_a_code_of_its_own() -> None:
    tree = [NativeError]
    for error in tree:
        tree.extend(error.__subclasses__())
    codes = [error.code for error in tree]
    assert len(set(codes)) == len(codes)
    assert {error.__name__ for error in tree} <= set(qwen_asr_native.__all__)
