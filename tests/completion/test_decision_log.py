import errno
import json
import os
import signal

import pytest

from comining.completion.decision_log import DecisionLog
from comining.errors import InputError

DATASET = {
    "images": [{"id": 1, "file_name": "1.png", "width": 100, "height": 80}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [{"id": 2, "image_id": 1, "category_id": 3, "bbox": [40, 10, 20, 20]}],
}


def decision(key, action="accept"):
    return {
        "key": key, "action": action, "image_id": 1, "id": 2, "was": [40, 10, 20, 20],
        "time": "2026-03-01T12:00:00Z",
    }  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decisions.jsonl"


@pytest.fixture
def open_log(path):
    """Opens the log; what a test leaves open is closed."""
    opened = []

    def open_log():
        opened.append(DecisionLog(path, DATASET))
        return opened[-1]

    yield open_log
    for log in opened:
        log.close()


def keys(path):
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def test_each_decision_is_in_the_file_at_once(path, open_log):
    log = open_log()
    log.append(decision("k1"))
    assert keys(path) == ["k1"]
    log.append(decision("k2", "reject"))
    log.append(decision("k1"))
    assert keys(path) == ["k1", "k2"]
    assert [x["key"] for x in log.after(1)] == ["k2"]
    assert log.after(5) == []


def test_review_goes_on_where_it_ended(path, open_log):
    first = open_log()
    first.append(decision("k1"))
    first.close()
    second = open_log()
    second.append(decision("k1"))
    second.append(decision("k2"))
    assert keys(path) == ["k1", "k2"]


def test_torn_last_line_is_cut_off(path, open_log, caplog):
    whole = json.dumps(decision("k1"))
    path.write_text(f"{whole}\n{whole[:40]}")
    log = open_log()
    assert "written in part" in caplog.text
    log.append(decision("k2"))
    assert keys(path) == ["k1", "k2"]


def test_last_line_without_an_end_gets_one(path, open_log):
    path.write_text(json.dumps(decision("k1")))
    open_log().append(decision("k2"))
    assert keys(path) == ["k1", "k2"]


def test_what_is_refused_is_not_written(path, open_log):
    log = open_log()
    with pytest.raises(InputError, match="has the action 'destroy'"):
        log.append(decision("k1", "destroy"))
    assert path.read_bytes() == b""
    log.append(decision("k1"))
    assert keys(path) == ["k1"]


def test_full_disk_leaves_no_part_of_a_line(path, open_log, monkeypatch):
    log = open_log()
    log.append(decision("k1"))
    write = os.write

    def half(file, content):
        if len(content) < 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, content[: len(content) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        log.append(decision("k2"))
    monkeypatch.undo()
    assert keys(path) == ["k1"]
    assert len(log.after(0)) == 1
    log.append(decision("k2"))
    assert keys(path) == ["k1", "k2"]


def test_second_review_of_the_same_file_is_refused(open_log):
    first = open_log()
    with pytest.raises(InputError, match="being written by another review"):
        open_log()
    first.close()
    open_log()


def test_decisions_about_another_data_set_are_refused(path):
    path.write_text(json.dumps({**decision("k1"), "was": [0, 0, 9, 9]}) + "\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match="another version of the data set"):
        DecisionLog(path, DATASET)
    assert path.read_bytes() == before


def test_kill_loses_nothing_that_counted_as_saved(path, open_log):
    reading, writing = os.pipe()
    writer = os.fork()
    if writer == 0:
        try:
            log = DecisionLog(path, DATASET)
            for number in range(10**6):
                log.append(decision(f"k{number}"))
                os.write(writing, b".")
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb", buffering=0) as told:
        number = len(told.read(1)) + len(told.read(20))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        number += len(told.read())
    saved = [x["key"] for x in open_log().after(0)]
    assert saved == [f"k{number}" for number in range(len(saved))]
    assert len(saved) >= number > 0
