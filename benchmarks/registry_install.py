# SPDX-License-Identifier: Apache-2.0
"""Install qwen-asr from a folder of wheels into a fresh virtual environment without network, and make subtitles.

    python benchmarks/registry_install.py --prepare wheels     # builds our wheels, fetches all others (network)
    python benchmarks/registry_install.py wheels               # no network from here on
    python benchmarks/registry_install.py wheels --http        # the same from a loopback server

What is timed is printed; every step is checked, and the environment is compared before and after refusals.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests" / "samples" / "sample.mp4"
HOST_NEEDS = ("subtitle_hooks", "pluggy", "srt", "packaging")


def prepare(folder: Path) -> None:
    """Build the wheels of both distributions, fetch all others and write the index."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "-w", folder, ROOT / "hooks", ROOT], check=True)
    (folder / "index.json").unlink(missing_ok=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "subtitle_hooks.registry.entry", folder),
            *("--data", "converted models and built libraries={user_data}/qwen-asr-plugin"),
            *("--data", "caches={user_cache}/qwen-asr-plugin"),
        ],
        check=True,
    )


def without_network() -> list[str]:
    prefix = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0:
        return prefix
    print("note: the network cannot be taken away here; pip's own options keep it from being used")
    return []


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def measure(folder: Path, *, over_http: bool) -> None:
    with tempfile.TemporaryDirectory() as work:
        venv, home = Path(work, "venv"), Path(work, "home")
        home.mkdir()
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        programs = venv / ("Scripts" if os.name == "nt" else "bin")
        needed = [path for path in folder.glob("*.whl") if path.name.startswith(HOST_NEEDS)]
        subprocess.run(
            [programs / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *needed], check=True
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        index, server = str(folder), None
        network = [] if over_http else without_network()
        if over_http:
            handler = functools.partial(Silent, directory=folder)
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            index = f"http://127.0.0.1:{server.server_address[1]}/"

        def host(*arguments: object) -> str:
            began = time.perf_counter()
            command = [*network, programs / "subtitle-host", *map(str, arguments)]
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=work)
            print(f"{time.perf_counter() - began:7.2f} s  subtitle-host {' '.join(map(str, arguments[:2]))}")
            if done.returncode:
                sys.exit(f"status {done.returncode}\n{done.stdout}{done.stderr}")
            return done.stdout

        before = contents(venv)
        plan = json.loads(host("plugins", "install", "qwen-asr", "--index", index, "--dry-run", "--json"))
        if contents(venv) != before:
            sys.exit("the dry run changed the environment")
        host("plugins", "install", "qwen-asr", "--index", index, "--quiet")
        print(f"           {len(plan[0]['changes'])} distributions installed")
        print(host("plugins", "list").rstrip())
        film = Path(shutil.copy(SAMPLE, work))
        written = Path(host("run", "--quiet", film).strip())
        cues = written.read_text(encoding="utf-8").count("-->")
        print(f"           {written.name}: {cues} cues")
        if not cues:
            sys.exit("no cues")
        host("plugins", "doctor", "--index", index)
        print(host("plugins", "remove", "qwen-asr", "--index", index).rstrip())
        if server is not None:
            server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prepare", action="store_true", help="fill the folder (needs the network)")
    parser.add_argument("--http", action="store_true", help="install from a loopback server")
    arguments = parser.parse_args()
    if arguments.prepare:
        prepare(arguments.folder)
    else:
        measure(arguments.folder.resolve(), over_http=arguments.http)


if __name__ == "__main__":
    main()
