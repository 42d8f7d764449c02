# SPDX-License-Identifier: Apache-2.0
"""The parts of ``model/README.md`` that are measured or counted; ``renew_default_model.py`` puts them between markers.

A part stands between ``<!-- renewed: NAME -->`` and ``<!-- end: NAME -->``; everything else is left as it is.
"""

import dataclasses
import json
import math
import pathlib
import struct
from typing import Any

REFERENCE_NAME = "plain PyTorch, fp32"
BASE = ("fp32", "f16")
MAX_LOSS = 0.5
MAX_MEGABYTES = 32.0
VOICES = {"hibari": "Hibari", "espeak": "eSpeak NG", "flite": "Flite"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rate:
    """Word errors over words, pooled over clips."""

    errors: int
    words: int

    @property
    def percent(self) -> float:
        """Word error rate, in per cent."""
        return 100 * self.errors / self.words


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the accuracy table.

    Attributes:
        name: What was measured.
        size: Bytes of the files that are needed.
        clips: What ``product_wer.py --output`` or ``reference_wer.py --output`` wrote.
    """

    name: str
    size: int
    clips: list[dict[str, Any]]

    def rate(self, folder: str, voice: str | None = None) -> Rate:
        """Return the rate of one folder, or of one voice in it."""
        chosen = [clip for clip in self.clips if clip["folder"] == folder and voice in (None, clip["voice"])]
        return Rate(errors=sum(clip["errors"] for clip in chosen), words=sum(clip["words"] for clip in chosen))


def pair_name(precision: str, quant: str) -> str:
    return f"{precision} + {quant}"


def broken_limits(row: Row, base: Row) -> list[str]:
    """Return which limits a pair breaks: points lost against the base pair on a folder, or the size."""
    broken = []
    for folder, label in (("synth", "synthesised"), ("human", "human")):
        # 0.5 points exactly is within the limit, whatever the division's last digit is.
        if row.rate(folder).percent - base.rate(folder).percent > MAX_LOSS + 1e-9:
            broken.append(label)
    if row.size > MAX_MEGABYTES * 1e6:
        broken.append("size")
    return broken


def accuracy(rows: list[Row], base: Row, chosen: str) -> str:
    """Return the table: one line per pair, the reference first."""
    voices = list(dict.fromkeys(clip["voice"] for clip in base.clips if clip["folder"] == "synth"))
    head = ["encoder + language model", "MB", "synthesised", *(VOICES.get(voice, voice) for voice in voices)]
    lines = ["| " + " | ".join([*head, "human", "limits broken"]) + " |", "|---" + "|---:" * (len(head)) + "|---|"]
    for row in rows:
        rates = [row.rate("synth"), *(row.rate("synth", voice) for voice in voices), row.rate("human")]
        cells = [f"{rate.percent:.1f} % ({rate.errors})" for rate in rates]
        broken = "" if row.name == REFERENCE_NAME else ", ".join(broken_limits(row, base)) or "none"
        name = f"**{row.name}**" if row.name == chosen else row.name
        lines.append("| " + " | ".join([name, f"{row.size / 1e6:.1f}", *cells, broken]) + " |")
    synth, human = base.rate("synth"), base.rate("human")
    clips = {folder: sum(clip["folder"] == folder for clip in base.clips) for folder in ("synth", "human")}
    words = (
        f"Word error rate, word errors in brackets: {clips['synth']} synthesised clips with {synth.words} words, "
        f"{clips['human']} human clips with {human.words} words. "
        f"One word is {100 / synth.words:.2f} points of the first and {100 / human.words:.2f} points of the second."
    )
    lines += ["", words]
    return "\n".join(lines)


def headline(row: Row) -> str:
    """Return the one sentence on what the shipped pair gets wrong."""
    synth, human = row.rate("synth"), row.rate("human")
    return (
        f"As shipped it gets {synth.percent:.0f} % of the words of synthesised speech wrong ({synth.errors} of "
        f"{synth.words}) and {human.percent:.0f} % of the words of human speech ({human.errors} of {human.words})."
    )


def files(manifest: dict[str, Any]) -> str:
    """Return the table of the bundle's files."""
    lines = ["| file | bytes | SHA-256 |", "|---|---:|---|"]
    lines += [f"| `{entry['name']}` | {entry['size']} | `{entry['sha256']}` |" for entry in manifest["files"]]
    total = sum(entry["size"] for entry in manifest["files"])
    lines.append(f"| together | {total} ({total / 1e6:.1f} MB) | |")
    return "\n".join(lines)


def encoder_errors(rows: list[dict[str, Any]]) -> str:
    """Return the table of what ``encoder_error.py`` measured, without its times."""
    lines = ["| encoder | MB | relative error of its output, median / largest |", "|---|---:|---:|"]
    for row in rows:
        errors = f"{row['median error']:.3f} / {row['largest error']:.3f}" if row["largest error"] else "0"
        lines.append(f"| {row['precision']} | {row['bytes'] / 1e6:.1f} | {errors} |")
    return "\n".join(lines)


def architecture(checkpoint: pathlib.Path) -> str:
    """Return the table of sizes, from ``config.json`` and the header of ``model.safetensors``."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["thinker_config"]
    audio, text = config["audio_config"], config["text_config"]
    with (checkpoint / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    counts = {"audio": 0, "text": 0}
    for name, entry in header.items():
        if name != "__metadata__":
            counts["audio" if ".audio_tower." in name else "text"] += math.prod(entry["shape"])
    sections = ", ".join(map(str, text["rope_scaling"]["mrope_section"]))
    tied = "tied" if text["tie_word_embeddings"] else "not tied"
    encoder = (
        f"{audio['num_mel_bins']} mel bins, three convolutions of {audio['downsample_hidden_size']} channels, "
        f"{audio['encoder_layers']} layers, width {audio['d_model']}, {audio['encoder_attention_heads']} heads, "
        f"feed-forward {audio['encoder_ffn_dim']}, output {audio['output_dim']}, "
        f"attention within {audio['n_window_infer'] / 100:g} s"
    )
    decoder = (
        f"{text['num_hidden_layers']} layers, width {text['hidden_size']}, {text['num_attention_heads']} heads of "
        f"{text['head_dim']} ({text['num_key_value_heads']} for keys and values), "
        f"feed-forward {text['intermediate_size']}, vocabulary {text['vocab_size']} ({tied}), "
        f"M-RoPE sections {sections}"
    )
    return "\n".join(
        [
            "| part | parameters | |",
            "|---|---:|---|",
            f"| audio encoder | {counts['audio'] / 1e6:.1f} M | {encoder} |",
            f"| language model | {counts['text'] / 1e6:.1f} M | {decoder} |",
        ]
    )


def replace_parts(text: str, parts: dict[str, str]) -> str:
    """Return ``text`` with the named parts put between their markers.

    Raises:
        ValueError: A part has not exactly one pair of markers.
    """
    for name, content in parts.items():
        begin, end = f"<!-- renewed: {name} -->", f"<!-- end: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            message = f"wanted exactly one part between {begin} and {end}"
            raise ValueError(message)
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
    return text
