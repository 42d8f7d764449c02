# SPDX-License-Identifier: Apache-2.0
"""Draws docs/images/transcribe.svg from a real run: ``python docs/images/make_transcribe_svg.py`` (needs the plugin).

What the picture shows is what the command printed, and the first cues of the file it wrote.
"""

import io
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[1] / "tests" / "samples" / "sample.mp4"
LINES_OF_TEXT = 6
CUES = 3


def main() -> None:
    """Run the command line on the sample video and save the picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["qwen-asr-plugin", "transcribe", str(SAMPLE), "-o", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        written = (Path(folder) / "sample.en.srt").read_text(encoding="utf-8")
    console = Console(record=True, width=88, file=io.StringIO(), highlight=False)
    prompt = ("$ ", "bold green")
    console.print(Text.assemble(prompt, ("qwen-asr-plugin transcribe sample.mp4", "bold")))
    spoken = [line for line in done.stdout.splitlines() if line.startswith("[")]
    for line in spoken[:LINES_OF_TEXT]:
        time, _, text = line.partition("]  ")
        console.print(Text.assemble((f"{time}]  ", "cyan"), text))
    console.print(Text(f"... {len(spoken) - LINES_OF_TEXT} more", "dim"))
    console.print("sample.en.srt")
    for label in ("Audio", "Wall time", "RTF", "Peak memory"):
        row = next(line for line in done.stderr.splitlines() if label in line)
        name, value = (part.strip() for part in re.split(r"[│|]", row.strip("│ "))[:2])
        console.print(Text.assemble((f"  {name:<20}", "dim"), value))
    console.print(Text.assemble(prompt, (f"head -n {4 * CUES} sample.en.srt", "bold")))
    console.print(Text("\n\n".join(written.split("\n\n")[:CUES])))
    picture = console.export_svg(title="subtitles, made on this computer")
    # The viewer's own monospaced font will do: a picture must not fetch one.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    (HERE / "transcribe.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
