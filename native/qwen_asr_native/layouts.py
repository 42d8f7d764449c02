# SPDX-License-Identifier: Apache-2.0
"""Struct layouts of libllama as data, and how one is recognised.

libllama passes its parameter structs by value and changes them between builds without a version number. A binding that
assumes the wrong layout does not fail: it reads too little memory, or writes the thread count into another field. So
every layout is a table of fields with the value the library's own ``*_default_params()`` puts there, and a layout
counts as recognised only when the size and *every* default agree (`Layout.mismatches`). The tables are in
`qwen_asr_native.layout_tables`; `docs/native.md` says how to add one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

__all__ = [
    "Family",
    "Field",
    "Layout",
    "Sample",
    "StructKind",
    "flag",
    "float32",
    "int32",
    "pointer",
    "size",
    "type_count",
    "uint32",
]

StructKind = Literal["model_params", "context_params", "quantize_params", "batch"]
Family = Literal["ik", "mainline"]
"""``mainline``: ggml-org/llama.cpp. ``ik``: the fork ikawrakow/ik_llama.cpp, with an older API and its own structs."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One struct member.

    Attributes:
        name: The name in ``llama.h``.
        ctype: A ctypes scalar type; pointers are ``c_void_p``.
        defaults: Values the library's default may take. More than one where builds of the same layout differ
            (for example the number of GPU layers with and without Metal).
    """

    name: str
    ctype: Any
    defaults: Container[int | float]


def int32(name: str, *defaults: int) -> Field:
    """A 32-bit signed member, enums included."""
    return Field(name=name, ctype=ctypes.c_int32, defaults=defaults)


def uint32(name: str, *defaults: int) -> Field:
    """A 32-bit unsigned member."""
    return Field(name=name, ctype=ctypes.c_uint32, defaults=defaults)


def float32(name: str, *defaults: float) -> Field:
    """A 32-bit float member."""
    return Field(name=name, ctype=ctypes.c_float, defaults=defaults)


def size(name: str, *defaults: int) -> Field:
    """A ``size_t`` member."""
    return Field(name=name, ctype=ctypes.c_size_t, defaults=defaults)


def flag(name: str, *defaults: int) -> Field:
    """A C ``bool``. Compared as a byte, so that a 2 is not taken for true."""
    return Field(name=name, ctype=ctypes.c_uint8, defaults=defaults)


def pointer(name: str, default: int = 0) -> Field:
    """A pointer member, NULL by default."""
    return Field(name=name, ctype=ctypes.c_void_p, defaults=(default,))


def type_count(name: str, values: range) -> Field:
    """A tensor type left open, marked with the number of tensor types, which grows without a change of layout."""
    return Field(name=name, ctype=ctypes.c_int32, defaults=values)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a library wrote when asked for its defaults.

    Attributes:
        data: The bytes of the struct and whatever lies after it.
        written: For each byte whether the library wrote it; None where the calling convention hides that
            (structs returned through a register that ctypes cannot set, as on 64-bit Arm).
    """

    data: bytes
    written: Sequence[bool] | None

    @property
    def extent(self) -> int | None:
        """Offset after the last byte written, None when unknown."""
        if self.written is None:
            return None
        return max((index + 1 for index, was in enumerate(self.written) if was), default=0)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One generation of one struct.

    Attributes:
        name: The build the table was taken from.
        kind: Which struct.
        family: Which API the library has around it.
        builds: Builds known to have this layout, for messages.
        fields: The members in order.
    """

    name: str
    kind: StructKind
    family: Family
    builds: tuple[str, ...]
    fields: tuple[Field, ...]

    @cached_property
    def structure(self) -> type[ctypes.Structure]:
        """The ctypes class with these members and the platform's natural alignment."""
        members = [(field.name, field.ctype) for field in self.fields]
        return type(f"llama_{self.kind}", (ctypes.Structure,), {"_fields_": members})

    @property
    def size(self) -> int:
        """``sizeof`` in bytes."""
        return ctypes.sizeof(self.structure)

    def offset(self, name: str) -> int:
        """Offset of a member in bytes."""
        return int(getattr(self.structure, name).offset)

    def has(self, name: str) -> bool:
        """Whether the struct has this member."""
        return any(field.name == name for field in self.fields)

    def mismatches(self, sample: Sample) -> list[str]:
        """Everything in which the library's defaults differ from this layout; empty when they agree."""
        if len(sample.data) < self.size:
            return [f"only {len(sample.data)} bytes to compare, {self.size} expected"]
        found = []
        end = max(self.offset(field.name) + ctypes.sizeof(field.ctype) for field in self.fields)
        # Padding at the end may or may not be copied by the compiler, so both extents mean the same struct.
        if sample.extent is not None and not end <= sample.extent <= self.size:
            found.append(f"{sample.extent} bytes written, {self.size} expected")
        value = self.structure.from_buffer_copy(sample.data)
        for field in self.fields:
            offset = self.offset(field.name)
            if sample.written is not None and not all(sample.written[offset : offset + ctypes.sizeof(field.ctype)]):
                found.append(f"{field.name}@{offset} not written")
                continue
            actual = getattr(value, field.name) or 0
            if actual not in field.defaults:
                found.append(f"{field.name}@{offset} is {actual}, expected {_expectation(field)}")
        return found


def _expectation(field: Field) -> str:
    if isinstance(field.defaults, range):
        return f"{field.defaults.start} to {field.defaults.stop - 1}"
    values = field.defaults if isinstance(field.defaults, tuple) else ()
    return " or ".join(map(str, values))
