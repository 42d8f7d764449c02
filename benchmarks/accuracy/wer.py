# SPDX-License-Identifier: Apache-2.0
"""Transcript tables, their word errors, and the Markdown table both programs print. Needs jiwer."""

import csv
import dataclasses
import pathlib
from typing import Any

import jiwer
from normalise import normalise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transcript:
    """One clip: what was said and, once transcribed, what was heard.

    Attributes:
        folder: Name of the folder the clip lies in.
        file: File name.
        voice: Column ``voice`` of the table, or the folder's name where there is none.
        text: What was said.
        heard: What was recognised, or None.
    """

    folder: str
    file: str
    voice: str
    text: str
    heard: str | None = None

    def heard_as(self, heard: str) -> "Transcript":
        """Return the clip with its recognised text."""
        return dataclasses.replace(self, heard=heard)

    def errors(self) -> tuple[int, int]:
        """Return the word errors (substitutions + deletions + insertions) and the words of the reference."""
        if self.heard is None:
            message = f"{self.file} was not transcribed"
            raise ValueError(message)
        said, heard = normalise(self.text), normalise(self.heard)
        counts = jiwer.process_words(said, heard)
        return counts.substitutions + counts.deletions + counts.insertions, len(said.split())

    def as_dict(self) -> dict[str, Any]:
        """Return the clip with its error counts, ready for JSON."""
        errors, words = self.errors()
        return {**dataclasses.asdict(self), "errors": errors, "words": words}


def read_transcripts(folder: pathlib.Path) -> list[Transcript]:
    """Read ``transcripts.tsv`` of ``folder``."""
    with (folder / "transcripts.tsv").open(encoding="utf-8", newline="") as lines:
        return [
            Transcript(folder=folder.name, file=row["file"], voice=row.get("voice") or folder.name, text=row["text"])
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def table(results: list[Transcript]) -> str:
    """Return a Markdown table: word error rate (errors over words, pooled) by folder and voice."""
    groups: dict[tuple[str, str], list[Transcript]] = {}
    for folder in dict.fromkeys(result.folder for result in results):
        members = [result for result in results if result.folder == folder]
        voices = dict.fromkeys(result.voice for result in members)
        for voice in voices:
            groups[folder, voice] = [result for result in members if result.voice == voice]
        if len(voices) > 1:
            groups[folder, "all voices"] = members
    lines = ["| folder | voice | clips | words | errors | WER |", "|---|---|---:|---:|---:|---:|"]
    for (folder, voice), members in groups.items():
        counted = [member.errors() for member in members]
        errors, words = sum(count[0] for count in counted), sum(count[1] for count in counted)
        lines.append(f"| {folder} | {voice} | {len(members)} | {words} | {errors} | {100 * errors / words:.1f} % |")
    return "\n".join(lines)
