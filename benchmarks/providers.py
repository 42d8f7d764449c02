#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the bundled model with every package that brings a libllama, each in a fresh virtual environment.

In each environment the plugin and that one package are installed, `native test` examines the library, and the sample
video is transcribed. The texts must be the same everywhere; the table shows what was recognised. Exit status 1 when a
library was refused or a text differs, except for packages named with --may-refuse, for which a named error is enough.

llama-cpp-python is compiled by pip (about 5 minutes a version on 2 fast cores): it needs a C++ compiler. Wheels that
were made before are taken from the folder given with --wheels.
"""

import argparse
import difflib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from _common import SAMPLE, machine, table

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("ik-llama-cpp-python", "xllamacpp", "llama-cpp-python", "llama-cpp-python==0.3.16")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=PACKAGES, help=f"default: {' '.join(PACKAGES)}")
    parser.add_argument("--python", default=sys.executable, help="interpreter the environments are made with")
    parser.add_argument("--wheels", type=pathlib.Path, help="folder of wheels that pip may use")
    parser.add_argument("--may-refuse", nargs="*", default=(), help="packages for which a named error is enough")
    parser.add_argument("--json", type=pathlib.Path, help="also write the results there")
    options = parser.parse_args()

    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number, package in enumerate(options.packages):
            print(f"{package} ...", file=sys.stderr, flush=True)
            results.append(run(package, pathlib.Path(folder, str(number)), options))
    first = next((result["text"] for result in results if result["text"]), "")
    failed = False
    rows = []
    for result in results:
        same = result["text"] == first
        agreement = difflib.SequenceMatcher(None, first.split(), result["text"].split()).ratio()
        verdict = "same" if same else f"{agreement:.1%} of the words" if result["text"] else result["error"]
        failed |= not same and not (result["error"] and result["package"] in options.may_refuse)
        rows.append((result["package"], result["version"], result["layout"], result["status"], result["rtf"], verdict))
    print(f"{machine()}\n")
    print(table(("package", "says it is", "layout recognised", "exit status", "RTF", "text"), rows))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
    return 1 if failed else 0


def run(package: str, folder: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    subprocess.run([options.python, "-m", "venv", folder], check=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wheels = ["--find-links", options.wheels] if options.wheels else []
    subprocess.run([*pip, *wheels, package], check=True)
    subprocess.run([*pip, *wheels, ROOT / "hooks", ROOT], check=True)
    name = package.partition("==")[0]
    for other in {"ik-llama-cpp-python", "xllamacpp", "llama-cpp-python"} - {name}:
        subprocess.run([*pip[:3], "uninstall", "--quiet", "--yes", other], check=True, stderr=subprocess.DEVNULL)

    command = scripts / "qwen-asr-plugin"
    seen = subprocess.run([command, "native", "test", name, "--json"], check=False, capture_output=True, text=True)
    facts = json.loads(seen.stdout) if seen.stdout.startswith("{") else {}
    out = folder / "out"
    out.mkdir()
    started = time.perf_counter()
    done = subprocess.run(
        [command, "transcribe", SAMPLE, "--output-dir", out, "--format", "json", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
    )
    written = next(out.glob("*.json"), None)
    transcript = json.loads(written.read_text(encoding="utf-8")) if written else {}
    return {
        "package": package,
        "version": facts.get("version", ""),
        "layout": facts.get("layout", ""),
        "status": done.returncode,
        "seconds": round(time.perf_counter() - started, 2),
        "rtf": transcript.get("statistics", {}).get("rtf", ""),
        "text": " ".join(segment["text"] for segment in transcript.get("segments", ())),
        "error": done.stderr.strip().splitlines()[-1] if done.returncode else "",
    }


if __name__ == "__main__":
    sys.exit(main())
