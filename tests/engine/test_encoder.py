# SPDX-License-Identifier: Apache-2.0
"""The encoder's result does not depend on how many threads computed it, nor on who else calls it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qwen_asr_model import default_bundle, open_bundle, synthesize
from qwen_asr_plugin.engine.encoder import Encoder, encoded_rows


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    made = synthesize("tiny", tmp_path_factory.mktemp("made") / "tiny", precisions=["int8", "int4", "fp32"])
    return [open_bundle(default_bundle()), *(open_bundle(made, precision=name) for name in ("int8", "int4", "fp32"))]


def encoder(bundle, threads):
    return Encoder(bundle.encoder_frontend, bundle.encoder_backend, threads=threads)


def log_mel_like(frames):
    return np.random.default_rng(frames).normal(0, 0.5, (128, frames)).astype(np.float32)


@pytest.mark.parametrize("frames", [30, 100, 230, 1830])
def test_the_number_of_threads_changes_no_byte(bundles, frames):
    mel = log_mel_like(frames)
    for bundle in bundles:
        alone, *others = (encoder(bundle, threads).encode_mel(mel) for threads in (1, 2, 3))
        assert len(alone) == encoded_rows(frames)
        assert np.isfinite(alone).all()
        lent = Encoder(bundle.encoder_frontend, bundle.encoder_backend, threads=1, most_threads=3)
        for other in [*others, *(lent.encode_mel(mel, threads=threads) for threads in (None, 2, 3))]:
            assert alone.tobytes() == other.tobytes()


def test_the_seconds_stay_in_order(bundles):
    for bundle in bundles[1:]:
        several = encoder(bundle, 4)
        mel = log_mel_like(800)
        rows = several._run_frontend(several._seconds(mel)).reshape(8, 13, -1)  # the order is made before attention
        for second in range(8):
            part = several._run_frontend(several._seconds(mel[:, second * 100 : (second + 1) * 100]))
            assert np.array_equal(rows[second], part)


def test_callers_at_once_get_what_each_would_get_alone(bundles):
    shared = encoder(bundles[1], 2)
    mels = [log_mel_like(frames) for frames in (150, 350, 820, 1000)]
    wanted = [shared.encode_mel(mel).tobytes() for mel in mels]
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda mel: shared.encode_mel(mel).tobytes(), mels * 3))
    assert found == wanted * 3
