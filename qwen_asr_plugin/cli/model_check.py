# SPDX-License-Identifier: Apache-2.0
"""``qwen-asr-plugin model check``: how far a bundle is from the checkpoint it was made of."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen_asr_plugin.errors import translate_errors
from qwen_asr_plugin.languages import iso_code, model_name
from subtitle_hooks import RequestError

from .console import say, stderr
from .model_tables import check_table, step_bar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qwen_asr_model.check import PartCheck

__all__ = ["Audio", "Language", "Speech", "Spoken", "against_checkpoint", "check", "read_speech"]

_LONGEST_S = 600

Audio = Annotated[
    Path | None,
    typer.Option(help="Speech to compare with: any media file, as long as the model takes at once; noise if left out."),
]
Spoken = Annotated[
    str | None,
    typer.Option("--text", help="What is said in it, or a text file with it; without it there are no losses."),
]
Language = Annotated[str, typer.Option("--language", "-l", help="Its language, ISO code or English name.")]


@translate_errors
def check(
    bundle: Annotated[str, typer.Argument(help="Name or folder of the model.")],
    *,
    against: Annotated[Path, typer.Option(help="Folder of the checkpoint it was made of.")],
    aligner: Annotated[
        Path | None, typer.Option(help="Folder of the aligner's checkpoint; without it a bundle's aligner is left out.")
    ] = None,
    audio: Audio = None,
    text: Spoken = None,
    language: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare every file of a model with the checkpoint: cosine, largest error, and the loss of a text.

    The checkpoint is computed in float32, the model as the engine computes it. [bold]Cosine[/bold] and
    [bold]largest error[/bold] are of the encoder's output and of the decoder's scores; [bold]same choice[/bold] is how
    often the decoder's first choice is the checkpoint's; [bold]loss[/bold] is the mean of -log p over the tokens of the
    text, in nats: the better the model knows the words, the lower.

    [bold]Examples[/bold]

    qwen-asr-plugin model check qwen3-asr-0.6b --against ./Qwen3-ASR-0.6B

    qwen-asr-plugin model check small --against ./Qwen3-ASR-0.6B --audio clip.mp3 --text clip.txt
    """
    from qwen_asr_model.store import named_bundle

    speech = read_speech(audio, text, language)
    parts = against_checkpoint(named_bundle(bundle), against, aligner=aligner, speech=speech)
    if as_json:
        say(json.dumps([asdict(part) for part in parts], indent=2))
        return
    stderr.print(check_table(parts))


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What a user wants to compare with.

    Attributes:
        media: Where the audio comes from; None: there is none.
        samples: It, float32 at 16 kHz; None: there is none.
        text: What is said in it; None: not known.
        language: English name of its language.
    """

    media: Path | None
    samples: npt.NDArray[np.float32] | None
    text: str | None
    language: str


def read_speech(audio: Path | None, text: str | None, language: str) -> Speech:
    """Read what a user names; the arguments are options of `check`.

    Raises:
        RequestError: The language is not known, there is no such text, or the audio is empty or far too long.
        SubtitleError: The media file cannot be decoded.
    """
    return Speech(
        media=audio,
        samples=None if audio is None else _samples(audio),
        text=None if text is None else _spoken_text(text),
        language=model_name(iso_code(language)),
    )


def against_checkpoint(
    folder: Path, checkpoint: Path, *, aligner: Path | None, speech: Speech
) -> tuple[PartCheck, ...]:
    """Compare a bundle with its checkpoint; see `qwen_asr_model.check_conversion`.

    Raises:
        RequestError: The audio is longer than the model takes at once.
        ModelError: The bundle or the checkpoint cannot be used, or they do not belong together.
    """
    from qwen_asr_model import check_conversion, open_any
    from qwen_asr_plugin.audio import log_mel
    from qwen_asr_plugin.media import SAMPLE_RATE_HZ

    mel, samples, seconds = None, speech.samples, open_any(folder).max_chunk_seconds
    if samples is not None:
        if len(samples) > seconds * SAMPLE_RATE_HZ:
            raise _too_long(speech.media, seconds)
        mel = log_mel(samples)
    with step_bar() as progress:
        return check_conversion(
            folder,
            checkpoint,
            aligner=aligner,
            mel=mel,
            text=speech.text,
            language=speech.language,
            progress=progress,
        )


def _spoken_text(text: str) -> str:
    """Return a text as it is, or what is in the file of that name.

    Raises:
        RequestError: It is the name of a text file that is not there, or cannot be read, or there is nothing in it.
    """
    file = Path(text)
    try:
        words = file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        if file.suffix == ".txt" and len(text.split()) == 1:
            raise RequestError("There is no such text file.", path=file) from None
        words = text
    except ValueError as error:
        raise RequestError(f"The text cannot be read ({error}).", path=file, hint="It must be UTF-8.") from error
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL):  # a text, not a name
            raise RequestError(f"The text cannot be read ({error.strerror}).", path=file) from error
        words = text
    words = " ".join(words.split())
    if not words:
        raise RequestError("There is no text in it.", path=file, hint="Name what is said in the audio.")
    return words


def _samples(media: Path) -> npt.NDArray[np.float32]:
    """The first audio track of a media file."""
    import numpy as np

    from qwen_asr_plugin.audio import HOP_SAMPLES
    from qwen_asr_plugin.media import SAMPLE_RATE_HZ, choose_track, find_ffmpeg, open_audio, probe

    tools = find_ffmpeg()
    found = probe(media, tools)
    with open_audio(found, choose_track(found), tools, duration_ms=1000 * (_LONGEST_S + 1)) as stream:
        samples = np.concatenate([np.zeros(0, np.float32), *stream])
    if len(samples) < HOP_SAMPLES:
        raise RequestError("There is no audio in it.", path=media, hint="Name a file with some seconds of speech.")
    if len(samples) > _LONGEST_S * SAMPLE_RATE_HZ:
        raise _too_long(media, _LONGEST_S)
    return samples


def _too_long(media: Path | None, seconds: float) -> RequestError:
    return RequestError(
        f"The audio is longer than the {seconds:g} s that are taken at once.",
        path=media,
        hint="Name a shorter piece, and the text of just that.",
    )
