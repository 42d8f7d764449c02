# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys

import pytest

from subtitle_hooks import (
    MediaEmptyError,
    MediaFormatError,
    MediaIsDirectoryError,
    MediaNotFoundError,
    MediaUnreadableError,
    check_media,
)


def test_a_file_with_something_in_it_passes(media):
    check_media(media)
    check_media(str(media))


def test_each_problem_has_its_class(tmp_path, media):
    (tmp_path / "empty").touch()
    for path, expected in [
        (tmp_path / "gone", MediaNotFoundError),
        (media / "below-a-file", MediaNotFoundError),
        (tmp_path / "nul\0", MediaNotFoundError),
        (tmp_path, MediaIsDirectoryError),
        (tmp_path / "empty", MediaEmptyError),
    ]:
        with pytest.raises(expected) as caught:
            check_media(path)
        assert caught.value.path == str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system")
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaFormatError, match="not a regular file"):
        check_media(tmp_path / "pipe")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_read_permission(media):
    media.chmod(0)
    with pytest.raises(MediaUnreadableError, match="ermission"):
        check_media(media)


def test_an_operating_system_error_is_explained(media, monkeypatch):
    def broken_disk(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.open", broken_disk)
    with pytest.raises(MediaUnreadableError, match="Input/output error"):
        check_media(media)
