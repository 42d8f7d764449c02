# SPDX-License-Identifier: Apache-2.0
import io

import numpy as np
import pytest

from qwen_asr_plugin.engine.wire import read_message, write_message


def test_header_and_samples_come_back_as_sent():
    pipe = io.BytesIO()
    samples = np.linspace(-1, 1, 1001, dtype=np.float32)
    write_message(pipe, {"op": "chunk", "text": "Grüße 你好"}, samples)
    write_message(pipe, {"op": "stop"})
    pipe.seek(0)
    header, received = read_message(pipe)
    assert header == {"op": "chunk", "text": "Grüße 你好"}
    np.testing.assert_array_equal(received, samples)
    header, received = read_message(pipe)
    assert header == {"op": "stop"}
    assert received.size == 0
    assert read_message(pipe) is None


@pytest.mark.parametrize("kept", [0, 3, 8, 12, 40])
def test_a_cut_off_message_is_the_end(kept):
    pipe = io.BytesIO()
    write_message(pipe, {"op": "chunk"}, np.zeros(100, np.float32))
    assert read_message(io.BytesIO(pipe.getvalue()[:kept])) is None
