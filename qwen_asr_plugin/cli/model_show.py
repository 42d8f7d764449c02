# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin model show``: what is inside a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from qwen_asr_plugin.errors import translate_errors

from .console import say, stderr
from .model_tables import megabytes

if TYPE_CHECKING:
    from qwen_asr_model.contents import BundleContents, PartContents, TensorFacts, Tokenizer

__all__ = ["show", "show_overview"]

_LONG_VALUE = 60


@translate_errors
def show(
    bundle: Annotated[
        str | None, typer.Argument(help="Name or folder of the model; the bundled one if left out.")
    ] = None,
    *,
    tensors: Annotated[
        bool, typer.Option("--tensors", help="List every tensor: file, name, type, shape (rows first), bytes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --tensors every tensor, too.")] = False,
) -> None:
    """Show what a model is, which files it has, and what is inside each of them.

    Of every file: how many tensors of which type; of the encoder's graphs the inputs, outputs and sets of operators; of
    the decoders architecture, metadata, tokenizer and special tokens. Weights are not read.

    [bold]Examples[/bold]

    qwen-asr-plugin model show qwen3-asr-0.6b

    qwen-asr-plugin model show qwen3-asr-0.6b --tensors | grep attn_q
    """
    from qwen_asr_model import describe_bundle, inspect_bundle
    from qwen_asr_model.store import named_bundle
    from qwen_asr_model.store_record import read_record

    folder = named_bundle(bundle)
    facts, contents, record = describe_bundle(folder), inspect_bundle(folder), read_record(folder)
    if record is not None:
        facts["licence"] = facts["licence"] or record.licence
        facts["languages"] = facts["languages"] or list(record.languages)
    known = None if record is None else record.memory_mb
    if as_json:
        inside = contents.as_dict(tensors=tensors)
        inside["memory"]["known_mb"] = known
        say(json.dumps({**facts, **inside}, indent=2, default=str))
        return
    if not tensors:
        _overview(
            {name: value for name, value in facts.items() if name != "files"} | {"memory": _need(contents, known)}
        )
        _show_parts(contents.parts)
        return
    for part in contents.parts:
        for tensor in part.tensors:
            size = "?" if tensor.size is None else str(tensor.size)
            say("\t".join((part.file, tensor.name, tensor.type, _shape(tensor), size)))


def show_overview(folder: Path) -> None:
    """Print what a bundle is and which files it has."""
    from qwen_asr_model import describe_bundle

    _overview(describe_bundle(folder))


def _overview(facts: Mapping[str, Any], *, but: str = "") -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for key, value in facts.items():
        if key == but:
            continue
        if isinstance(value, dict):
            value = [f"{name} {_plain(inner)}" for name, inner in value.items()]
        lines = value if isinstance(value, list) else [value]
        if all(isinstance(line, str) and len(line) <= 3 for line in lines):  # languages
            lines = [" ".join(lines)]
        text = "\n".join(" ".join(map(str, line.values())) if isinstance(line, dict) else str(line) for line in lines)
        table.add_row(Text(key, style="bold"), Text(text, overflow="fold"))
    stderr.print(table)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _need(contents: BundleContents, known_mb: int | None) -> list[str]:
    lines = [] if known_mb is None else [f"about {megabytes(known_mb * 1_000_000)} in all with one lane"]
    lines.append(f"{_bytes(contents.weights_bytes)} of weights")
    lines.append(f"{_bytes(contents.kv_cache_bytes)} of cache for each position of the context, in every lane")
    return lines


def _show_parts(parts: Iterable[PartContents]) -> None:
    table = Table(title="\nFiles", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("Part", "Variant", "Stored as", "Size", "Tensors", "Of type"):
        table.add_column(column, justify="right" if column in ("Size", "Tensors") else "left", overflow="fold")
    for part in parts:
        types = ", ".join(f"{name} {count} ({_bytes(size)})" for name, (count, size) in part.by_type().items())
        cells = (part.variant, part.stored_as or "?", _bytes(part.size), str(len(part.tensors)), types)
        table.add_row(Text(part.role, style="bold"), *cells)
    stderr.print(table)
    seen: dict[Tokenizer, str] = {}
    for part in parts:
        stderr.print(Text(f"\n{part.file}", style="bold"))
        inside = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        for name, text in (*_graph_rows(part), *_decoder_rows(part)):
            inside.add_row(name, Text(text, overflow="fold"))
        if part.tokenizer is not None:
            for name, text in _tokenizer_rows(part.tokenizer, seen.get(part.tokenizer)):
                inside.add_row(name, Text(text, overflow="fold"))
            seen.setdefault(part.tokenizer, part.file)
        stderr.print(inside)


def _graph_rows(part: PartContents) -> list[tuple[str, str]]:
    graph = part.graph
    if graph is None:
        return []
    return [
        *((f"{kind}", f"{one.name} {one.type} {_shape(one)}") for kind, one in _ports(part)),
        ("operators", ", ".join(f"{name} {version}" for name, version in graph.opsets.items())),
        ("nodes", ", ".join(f"{count} {name}" for name, count in graph.operators.items())),
        ("format", f"ONNX {graph.ir_version}, by {graph.producer or 'an unknown program'}"),
    ]


def _ports(part: PartContents) -> list[tuple[str, TensorFacts]]:
    assert part.graph is not None
    return [("input", one) for one in part.graph.inputs] + [("output", one) for one in part.graph.outputs]


def _decoder_rows(part: PartContents) -> list[tuple[str, str]]:
    """Metadata without those of the tokenizer, which are told better, and without the architecture before each key."""
    before = f"{part.architecture}."
    return [
        (name.removeprefix(before).removeprefix("general."), _short(value))
        for name, value in part.metadata.items()
        if not name.startswith("tokenizer.")
    ]


def _tokenizer_rows(tokenizer: Tokenizer, same_as: str | None) -> list[tuple[str, str]]:
    kind = " ".join(filter(None, (tokenizer.kind, tokenizer.pre)))
    unused = f", {tokenizer.unused} of them unused" if tokenizer.unused else ""
    rows = [("tokenizer", f"{kind}, {tokenizer.entries} entries{unused}, {tokenizer.merges} merges")]
    if same_as is not None:
        return [*rows, ("special tokens", f"as in {same_as}")] if tokenizer.special else rows
    for number, one in enumerate(tokenizer.special):
        told = ", ".join(filter(None, (one.kind, one.use)))
        rows.append(("" if number else "special tokens", f"{one.id} {one.token} ({told})"))
    return rows


def _shape(tensor: TensorFacts) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in tensor.shape)}]"


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _LONG_VALUE else f"{text[:_LONG_VALUE]}..."


def _bytes(size: int) -> str:
    if size >= 1_000_000:
        return megabytes(size)
    return f"{size / 1000:.0f} kB" if size >= 1000 else f"{size} B"
