# SPDX-License-Identifier: Apache-2.0
"""Replace the model that comes with the package, and everything that belongs to it, by one command.

    python benchmarks/renew_default_model.py DEMO_MODEL_FOLDER --speech SPEECH_FOLDER --official-python PYTHON

DEMO_MODEL_FOLDER holds ``unpack.py``, ``weights.int8.safetensors``, ``demo-asr/`` and ``demo-aligner/``. SPEECH_FOLDER
holds the folders ``synth`` and ``human``, each with clips and ``transcripts.tsv``. PYTHON is the interpreter of an
environment with ``qwen-asr==0.0.6 torch soundfile jiwer``. Run it with the interpreter of an editable installation of
this checkout, with the extras ``convert`` and ``test``. The steps, in order:

    unpack      both checkpoints in the official layout, float16, into the work folder
    bundle      model/qwen_asr_model/bundles/demo-en, with its aligner  (python -m qwen_asr_model.renew)
    checkpoint  tests/golden/checkpoint                                 (tests/golden/pack_checkpoint.py)
    golden      tests/golden/*.npz, golden.json and aligner.json        (tests/golden/make_golden.py and
                                                                         make_aligner_golden.py, official)
    reference   word errors of the official code                        (benchmarks/accuracy/reference_wer.py, official)
    product     word errors of every pair of precisions in the table    (benchmarks/accuracy/product_wer.py)
    encoder     what each precision does to the encoder's output        (benchmarks/accuracy/encoder_error.py)
    card        the tables and figures of model/README.md

What a step leaves for a later one lies in the work folder, so ``--only card`` writes the card again without measuring.
Afterwards: read what the card says beside the tables, run the tests, commit everything together.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
ACCURACY = ROOT / "benchmarks" / "accuracy"
GOLDEN = ROOT / "tests" / "golden"
CARD = ROOT / "model" / "README.md"
OFFICIAL_PACKAGES = ("qwen_asr", "torch", "soundfile", "jiwer")
PRODUCT_PACKAGES = ("onnx", "jiwer", "srt")
PAIRS = (
    ("fp32", "f16"),
    ("fp16", "f16"),
    ("int8", "q8_0"),
    ("int8", "q5_0"),
    ("int4", "f16"),
    ("int4", "q8_0"),
    ("int4", "q5_0"),
    ("int4", "q4_0"),
)

sys.path.insert(0, str(ACCURACY))
import model_card  # noqa: E402 - the folder is no package


def run(*command: str | pathlib.Path) -> None:
    """Run a program; end with what it was if it fails."""
    words = [str(word) for word in command]
    print("+", " ".join(words), flush=True)
    status = subprocess.run(words, cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"renew_default_model.py: exit status {status} from: {' '.join(words)}")


class Renewal:
    """The steps, by name; each needs only what the ones before it left.

    Args:
        arguments: The command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.source: pathlib.Path = arguments.source.resolve()
        self.work: pathlib.Path = arguments.work.resolve()
        # Not resolved: in a virtual environment the interpreter is a link, and the link's place is what matters.
        self.official = arguments.official_python
        self.folders = [arguments.speech.resolve() / kind for kind in ("synth", "human")] if arguments.speech else []
        self.checkpoint = self.work / "unpacked" / "demo-asr"
        self.aligner = self.work / "unpacked" / "demo-aligner"
        self.measured = self.work / "measured"
        self.variants = self.work / "variants"

    def missing(self, steps: list[str]) -> list[str]:
        """Return what these steps need and is not there, as sentences."""
        needs: list[str] = []
        files = []
        if {"unpack", "checkpoint"} & set(steps):
            files += [self.source / name for name in ("unpack.py", "weights.int8.safetensors")]
            files += [self.source / model / "config.json" for model in ("demo-asr", "demo-aligner")]
        if {"reference", "product"} & set(steps):
            files += [folder / "transcripts.tsv" for folder in self.folders]
            if not self.folders:
                needs.append("--speech SPEECH_FOLDER is not given")
        if {"bundle", "golden", "reference", "product", "encoder", "card"} & set(steps) and "unpack" not in steps:
            files.append(self.checkpoint / "model.safetensors")
        if {"bundle", "golden"} & set(steps) and "unpack" not in steps:
            files.append(self.aligner / "model.safetensors")
        if "card" in steps:
            made = {"reference": ["reference"], "product": [f"{p}-{q}" for p, q in PAIRS], "encoder": ["encoder"]}
            files += [self.measured / f"{name}.json" for step in made if step not in steps for name in made[step]]
        needs += [f"there is no file {file}" for file in files if not file.is_file()]
        if {"golden", "reference"} & set(steps):
            if self.official:
                needs += lacking(self.official, OFFICIAL_PACKAGES)
            else:
                needs.append("--official-python PYTHON is not given")
        if {"bundle", "product", "encoder", "card"} & set(steps):
            needs += lacking(sys.executable, PRODUCT_PACKAGES)
            needs += foreign_package()
        return needs

    def unpack(self) -> None:
        """Write the new checkpoints in the official layout."""
        weights = self.checkpoint / "model.safetensors"
        before = sha256(weights) if weights.is_file() else ""
        shutil.rmtree(self.work / "unpacked", ignore_errors=True)
        run(sys.executable, self.source / "unpack.py", self.work / "unpacked")
        if sha256(weights) != before:
            # Nothing that was measured on other weights may get into the card.
            shutil.rmtree(self.measured, ignore_errors=True)
            shutil.rmtree(self.variants, ignore_errors=True)

    def bundle(self) -> None:
        """Convert them into the package's own bundle."""
        run(sys.executable, "-m", "qwen_asr_model.renew", self.checkpoint, "--aligner", self.aligner)

    def pack(self) -> None:
        """Pack them beside the golden files."""
        run(sys.executable, GOLDEN / "pack_checkpoint.py", self.source)

    def golden(self) -> None:
        """Write the golden files."""
        run(self.official, GOLDEN / "make_golden.py", self.checkpoint, ROOT / "tests" / "speech")
        run(self.official, GOLDEN / "make_aligner_golden.py", self.aligner, ROOT / "tests" / "speech")

    def reference(self) -> None:
        """Measure the official code."""
        self.measured.mkdir(parents=True, exist_ok=True)
        output = self.measured / "reference.json"
        run(self.official, ACCURACY / "reference_wer.py", self.checkpoint, *self.folders, "--output", output)

    def product(self) -> None:
        """Measure every pair of `PAIRS`."""
        self._convert_variants()
        self.measured.mkdir(parents=True, exist_ok=True)
        for precision, quant in PAIRS:
            chosen = [f"model={self.variants}", f"precision={precision}", f"quant={quant}"]
            options = [word for option in chosen for word in ("--option", option)]
            output = self.measured / f"{precision}-{quant}.json"
            run(sys.executable, ACCURACY / "product_wer.py", *self.folders, *options, "--output", output)

    def encoder(self) -> None:
        """Measure the encoder's precisions."""
        if not (self.variants / "bundle.json").is_file():
            self._convert_variants()
        output = self.measured / "encoder.json"
        self.measured.mkdir(parents=True, exist_ok=True)
        run(sys.executable, ACCURACY / "encoder_error.py", self.variants, ROOT / "tests" / "speech", "--output", output)

    def card(self) -> None:
        """Put what was measured into the model card."""
        from qwen_asr_model import default_bundle, open_bundle

        shipped = open_bundle(default_bundle())
        chosen = model_card.pair_name(shipped.precision, shipped.quant)
        size = (self.checkpoint / "model.safetensors").stat().st_size
        rows = [model_card.Row(name=model_card.REFERENCE_NAME, size=size, clips=self._read("reference"))]
        for precision, quant in PAIRS:
            bundle = open_bundle(self.variants, precision=precision, quant=quant)
            size = sum(file.stat().st_size for file in (bundle.encoder_frontend, bundle.encoder_backend, bundle.llm))
            name = model_card.pair_name(precision, quant)
            rows.append(model_card.Row(name=name, size=size, clips=self._read(f"{precision}-{quant}")))
        named = {row.name: row for row in rows}
        base = named[model_card.pair_name(*model_card.BASE)]
        if chosen not in named:
            sys.exit(
                f"renew_default_model.py: the package's bundle is {chosen}, which is not measured; add it to PAIRS"
            )
        manifest = json.loads((shipped.path / "bundle.json").read_text(encoding="utf-8"))
        parts = {
            "headline": model_card.headline(named[chosen]),
            "architecture": model_card.architecture(self.checkpoint),
            "files": model_card.files(manifest),
            "accuracy": model_card.accuracy(rows, base, chosen),
            "encoder": model_card.encoder_errors(self._read("encoder")),
        }
        CARD.write_text(model_card.replace_parts(CARD.read_text(encoding="utf-8"), parts), encoding="utf-8")
        print(f"{CARD.relative_to(ROOT)}: {parts['headline']}")
        broken = model_card.broken_limits(named[chosen], base)
        if broken:
            sys.exit(
                f"renew_default_model.py: all is written, but {chosen} breaks the limits on: {', '.join(broken)}. "
                "Choose another pair from the table in model/README.md, name it in model/qwen_asr_model/renew.py, and "
                "run the steps bundle and card again."
            )

    def _convert_variants(self) -> None:
        from qwen_asr_model import convert_checkpoint, default_bundle, open_bundle

        shipped = open_bundle(default_bundle())
        convert_checkpoint(
            self.checkpoint,
            self.variants,
            precisions=list(dict.fromkeys(precision for precision, _ in PAIRS)),
            quants=list(dict.fromkeys(quant for _, quant in PAIRS)),
            languages=shipped.languages,
            max_chunk_seconds=shipped.max_chunk_seconds,
            licence=shipped.licence,
        )

    def _read(self, name: str) -> list[dict[str, Any]]:
        return list(json.loads((self.measured / f"{name}.json").read_text(encoding="utf-8")))


STEPS = {
    "unpack": Renewal.unpack,
    "bundle": Renewal.bundle,
    "checkpoint": Renewal.pack,
    "golden": Renewal.golden,
    "reference": Renewal.reference,
    "product": Renewal.product,
    "encoder": Renewal.encoder,
    "card": Renewal.card,
}


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lacking(python: str, packages: tuple[str, ...]) -> list[str]:
    """Return what is wrong with an interpreter, as sentences."""
    code = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    try:
        found = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return [f"{python} does not run as a Python interpreter ({error})"]
    return [f"{python} has no package {name}" for name in found.stdout.split()]


def foreign_package() -> list[str]:
    """Return a sentence where the package that would be renewed is not the one of this checkout."""
    import qwen_asr_model

    place = pathlib.Path(qwen_asr_model.__file__).resolve().parent
    if place == ROOT / "model" / "qwen_asr_model":
        return []
    return [f"{sys.executable} uses the qwen_asr_model in {place}, not this checkout's: pip install -e {ROOT}"]


def step_names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in STEPS:
            message = f"no step {name!r}; the steps are {', '.join(STEPS)}"
            raise argparse.ArgumentTypeError(message)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, metavar="DEMO_MODEL_FOLDER", help="the new default checkpoint")
    parser.add_argument("--speech", type=pathlib.Path, help="folder with synth/ and human/")
    parser.add_argument("--official-python", metavar="PYTHON", help="interpreter with the official package")
    work = ROOT / "benchmarks" / "cache" / "default-model"
    parser.add_argument("--work", type=pathlib.Path, default=work, help="for intermediate files (default: %(default)s)")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", type=step_names, metavar="STEPS", help="run only these steps, comma list")
    choice.add_argument("--skip", type=step_names, metavar="STEPS", help="run all but these steps, comma list")
    arguments = parser.parse_args()

    steps = [name for name in STEPS if name in (arguments.only or STEPS) and name not in (arguments.skip or [])]
    renewal = Renewal(arguments)
    missing = renewal.missing(steps)
    if missing:
        sys.exit("renew_default_model.py: nothing was changed:\n" + "\n".join(f"  {line}" for line in missing))
    for step in steps:
        start = time.perf_counter()
        print(f"== {step}", flush=True)
        STEPS[step](renewal)
        print(f"== {step}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
