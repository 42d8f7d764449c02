# SPDX-License-Identifier: Apache-2.0
"""Errors of other rooms and processes become members of the plugin's tree."""

import pytest

import qwen_asr_native as native
from qwen_asr_plugin import errors
from subtitle_hooks import CancelledError


def _raised(error):
    @errors.translate_errors
    def fail():
        raise error

    with pytest.raises(errors.SubtitleError) as caught:
        fail()
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (native.BuildError("x"), errors.NativeBuildError, 105),
        (native.CompilerNotFoundError("x"), errors.NativeBuildError, 105),
        (native.SourceIncompleteError("x"), errors.NativeBuildError, 105),
        (native.DependencyError("x"), errors.LibraryDependencyError, 106),
        (native.DeviceError("x"), errors.DeviceError, 109),
        (native.LayoutError("x"), errors.LibraryLayoutError, 122),
        (native.LibraryLoadError("x"), errors.EngineError, 120),
        (native.ContextError("ggml: failed to allocate buffer"), errors.EngineMemoryError, 107),
        (native.ModelLoadError("unable to allocate CUDA0 buffer"), errors.EngineMemoryError, 107),
        (native.ModelLoadError("cut off"), errors.GgufDamagedError, 113),
        (native.BuildError("cc1plus: out of memory"), errors.NativeBuildError, 105),
        (MemoryError(), errors.EngineMemoryError, 107),
    ],
)
def test_an_error_of_the_native_room_enters_the_tree(error, kind, code):
    raised = _raised(error)
    assert type(raised) is kind
    assert raised.code == code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.EngineMemoryError("a", hint="b"), errors.EngineMemoryError),
        (errors.GgufDamagedError("a", path="p"), errors.GgufDamagedError),
        (RuntimeError("[ONNXRuntimeError] : 6 : std::bad_alloc"), errors.EngineMemoryError),
        (RuntimeError("x" * 100_000), errors.EngineError),
        (CancelledError("a"), errors.EngineError),
    ],
)
def test_an_error_crosses_the_border_of_processes(error, kind):
    made = errors.from_message(errors.to_message(error))
    assert type(made) is kind
    assert len(str(made)) < 50_000
    assert (made.path, made.hint) == (getattr(error, "path", None), made.hint)


@pytest.mark.parametrize(
    "message", [{}, {"type": "Any", "what": None}, {"type": ["x"], "what": 3, "path": 4, "hint": []}]
)
def test_any_message_is_an_error_and_nothing_more(message):
    assert type(errors.from_message(message)) is errors.EngineError
