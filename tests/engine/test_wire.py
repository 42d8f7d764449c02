# SPDX-License-Identifier: Apache-2.0
import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_asr_plugin.engine.wire import (
    ANSWERS,
    MAX_HEADER_BYTES,
    REQUESTS,
    WireError,
    longest_payload,
    pack_message,
    read_message,
)

CHUNK = {"op": "chunk", "id": 1, "job": 2, "context": "Grüße 你好 \ud800", "language": None, "align": True}


def _read(data, operations=REQUESTS, limit=1 << 20):
    return read_message(io.BytesIO(data), operations, max_payload_bytes=lambda: limit)


def _framed(text, payload=b""):
    return pack_message(CHUNK)[:4] + struct.pack("<II", len(text), len(payload)) + text + payload


def test_header_and_samples_come_back_as_sent():
    samples = np.linspace(-1, 1, 1001, dtype=np.float32)
    cancel = {"op": "cancel", "job": 3}
    pipe = io.BytesIO(pack_message(CHUNK, samples) + pack_message(cancel))
    header, received = read_message(pipe, REQUESTS, max_payload_bytes=lambda: samples.nbytes)
    assert header == CHUNK
    np.testing.assert_array_equal(received, samples)
    header, received = read_message(pipe, REQUESTS)
    assert header == cancel
    assert received.size == 0
    assert read_message(pipe, REQUESTS) is None


@pytest.mark.parametrize("kept", [0, 1, 3, 8, 11, 12, 40, -1])
def test_a_cut_off_message_is_the_end(kept):
    assert _read(pack_message(CHUNK, np.zeros(100, np.float32))[:kept]) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"chunk"',
        b"[" * 200_000,
        b"9" * 10_000,
        b'{"op": "quit"}',
        b'{"op": ["cancel"]}',
        b'{"op": {"a": 1}, "job": 1}',
        b'{"op": "cancel"}',
        b'{"op": "cancel", "job": "1"}',
        b'{"op": "cancel", "job": true}',
        b'{"op": "cancel", "job": 1.0}',
        b'{"op": "load", "options": []}',
        b'{"op": "ready", "info": {}, "peak": 1}',  # what the other side says
    ],
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(WireError):
        _read(_framed(text))


def test_lengths_are_bounded_before_memory_is_taken():
    with pytest.raises(WireError, match="cannot be"):
        _read(pack_message(CHUNK)[:4] + struct.pack("<II", MAX_HEADER_BYTES + 1, 0))
    with pytest.raises(WireError, match="cannot be"):
        _read(pack_message(CHUNK)[:4] + struct.pack("<II", 2, 4_000_000_000))
    long = np.zeros(1000, np.float32)
    with pytest.raises(WireError, match="cannot be"):
        _read(pack_message(CHUNK, long), limit=long.nbytes - 1)
    with pytest.raises(WireError, match="too long"):
        pack_message({**CHUNK, "context": "x" * MAX_HEADER_BYTES})
    assert longest_payload(20.0) >= 20 * 16000 * 4


def test_only_a_chunk_has_samples():
    with pytest.raises(WireError, match="samples"):
        _read(pack_message({"op": "cancel", "job": 1}, np.zeros(3, np.float32)))
    with pytest.raises(WireError, match="cannot be"):
        _read(_framed(json.dumps(CHUNK).encode(), b"abc"))


@given(st.binary(min_size=1, max_size=300))
def test_noise_is_refused_at_its_first_byte_that_does_not_fit(data):
    if not pack_message(CHUNK).startswith(data[:4]):
        with pytest.raises(WireError):
            _read(data)


@given(data=st.binary(max_size=60), place=st.integers(0, 200), both=st.sampled_from([REQUESTS, ANSWERS]))
def test_noise_inside_a_message_never_gives_anything_but_a_message_an_end_or_an_error(data, place, both):
    whole = pack_message(CHUNK, np.zeros(10, np.float32))
    pipe = io.BytesIO(whole[:place] + data + whole[place + len(data) :])
    try:
        while (message := read_message(pipe, both, max_payload_bytes=lambda: 4000)) is not None:
            assert message[0]["op"] in both
    except WireError:
        pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["op", "id", "job", "x"]), inner),
        max_leaves=8,
    )
)
def test_any_json_is_a_message_or_an_error(value):
    try:
        message = _read(_framed(json.dumps(value).encode()))
    except WireError:
        return
    assert message[0]["op"] in REQUESTS
