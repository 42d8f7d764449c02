# SPDX-License-Identifier: Apache-2.0
"""Word error rate of the product, through its command line and its subtitle files.

    pip install jiwer srt    # beside the product
    python product_wer.py FOLDER [FOLDER ...] --option precision=int8 --option quant=q8_0

Each FOLDER holds clips and ``transcripts.tsv`` (columns ``file`` and ``text``; ``voice`` if there are several).
``subtitle-host run`` makes one SRT file per clip, an empty one where nobody speaks; the words of its cues are compared
with what was said. If a single clip fails nothing is counted: a failed clip is no measurement.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

import srt
from wer import Transcript, read_transcripts, table


def words_of(path: pathlib.Path) -> str:
    """Return the text of all cues, line breaks as spaces."""
    cues = srt.parse(path.read_text(encoding="utf-8"))
    return " ".join(" ".join(cue.content.split()) for cue in cues)


def transcribe(
    folder: pathlib.Path, clips: list[Transcript], output: pathlib.Path, arguments: list[str]
) -> list[Transcript]:
    """Run the command line once over every clip of a folder and read what it wrote to ``output``."""
    # The one beside this interpreter, whether or not its environment is activated.
    program = shutil.which("subtitle-host", path=sysconfig.get_path("scripts"))
    if program is None:
        message = f"subtitle-host is not installed in the environment of {sys.executable}"
        raise SystemExit(message)
    command = [program, "run", *(str(folder / clip.file) for clip in clips)]
    command += ["--output-dir", str(output), "--overwrite", "--quiet", *arguments]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status:
        message = f"subtitle-host run ended with status {status} for {folder}: nothing was counted"
        raise SystemExit(message)
    heard = []
    for clip in clips:
        written = sorted(output.glob(f"{pathlib.PurePath(clip.file).stem}.*.srt"))
        if len(written) != 1:
            message = f"{clip.file}: wanted one subtitle file in {output}, found {len(written)}"
            raise SystemExit(message)
        heard.append(clip.heard_as(words_of(written[0])))
    return heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=pathlib.Path, nargs="+", help="folders with clips and transcripts.tsv")
    parser.add_argument("--backend", default="qwen-asr", help="default: %(default)s")
    parser.add_argument("--language", help="language spoken (default: the backend finds out)")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="handed to the backend")
    parser.add_argument("--limit", type=int, help="only the first clips of each folder")
    parser.add_argument("--keep", type=pathlib.Path, help="keep the subtitle files here (default: a scratch folder)")
    parser.add_argument("--output", type=pathlib.Path, help="write every transcript to this JSON file")
    arguments = parser.parse_args()

    passed = ["--backend", arguments.backend]
    if arguments.language:
        passed += ["--language", arguments.language]
    for option in arguments.option:
        passed += ["--option", option]

    results: list[Transcript] = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in arguments.folders:
            output = (arguments.keep or pathlib.Path(scratch)) / folder.name
            output.mkdir(parents=True, exist_ok=True)
            start = time.perf_counter()
            results += transcribe(folder, read_transcripts(folder)[: arguments.limit], output, passed)
            print(f"{folder.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    print(table(results))
    if arguments.output:
        lines = [result.as_dict() for result in results]
        arguments.output.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
