"""Files are written completely or not at all."""

import errno
import os
import stat

import pytest

from comining.errors import InputError
from comining.output_file import write_atomically


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), r"out can't be written: No space"),
        (RuntimeError("unexpected pos 64"), r"out can't be written: unexpected pos 64"),
    ],
)
def test_failure_leaves_the_old_file_and_no_other(tmp_path, error, message):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half of it")
        raise error

    with pytest.raises(InputError, match=message):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_replaces_with_usual_permissions(tmp_path):
    path, usual = tmp_path / "out", tmp_path / "usual"
    path.write_bytes(b"old")
    usual.touch()
    write_atomically(path, lambda file: file.writelines([b"n", b"ew"]))
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_file_system_that_does_not_flush_folders(tmp_path, monkeypatch):
    fsync, flushed = os.fsync, []

    def files_alone(number):
        flushed.append(stat.S_ISDIR(os.fstat(number).st_mode))
        if flushed[-1]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(number)

    monkeypatch.setattr(os, "fsync", files_alone)
    write_atomically(tmp_path / "out", lambda file: file.write(b"new"))
    assert (tmp_path / "out").read_bytes() == b"new"
    assert flushed == [False, True]  # the name is written after the content
