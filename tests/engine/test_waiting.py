"""Processes that wait for a slow one, longer than a collective operation would."""

import datetime
import json
from types import SimpleNamespace

import pytest
from detectron2.utils import comm
from torch import distributed

from comining.engine import mining_run, waiting
from comining.engine.miner import Mined
from comining.engine.mining_run import PartialResults, mine_dataset
from comining.engine.waiting import TIMEOUT, MeetingPlace
from tests.processes import in_two_processes


@pytest.fixture
def clock(monkeypatch):
    """Time passes while the process sleeps, ten minutes at once; then ``other`` has its turn."""
    clock = SimpleNamespace(now=0.0, other=lambda: None)

    def sleep(_):
        clock.now += 600
        clock.other()

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


@pytest.fixture
def fast_and_slow():
    store = distributed.HashStore()
    return [MeetingPlace(store, 2) for _ in range(2)]


def test_fast_one_waits_while_the_slow_one_works(clock, fast_and_slow):
    fast, slow = fast_and_slow
    turns = [slow.report_progress] * 20
    left = iter([*turns, lambda: slow._store.add("meeting 1", 1)])
    clock.other = lambda: next(left)()
    fast.wait_for_all()
    assert next(left, "all turns were taken") == "all turns were taken"
    assert clock.now > 6 * TIMEOUT.total_seconds()


def test_fast_one_gives_up_where_nothing_happens(clock, fast_and_slow):
    fast, slow = fast_and_slow
    turns = iter([slow.report_progress] * 5)
    clock.other = lambda: next(turns, lambda: None)()
    with pytest.raises(TimeoutError, match=r"1 of 2 processes have shown no sign of life for 0:30"):
        fast.wait_for_all()
    assert clock.now == 5 * 600 + TIMEOUT.total_seconds() + 600


def test_meetings_are_told_apart(clock, fast_and_slow):
    fast, slow = fast_and_slow
    clock.other = slow.wait_for_all
    fast.wait_for_all()
    clock.other = lambda: None
    with pytest.raises(TimeoutError):
        fast.wait_for_all()


def test_a_single_process_waits_for_nobody(monkeypatch):
    monkeypatch.setattr(waiting, "_place", None)
    waiting.report_progress()
    waiting.wait_for_all()
    assert waiting._place is None


def mine_in_a_process_of_its_own(rank, folder):
    """The second one takes 0.8 seconds for each of its eight images; none takes a model."""
    store = distributed.FileStore(f"{folder}/meeting", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    waiting.meet_at(store, 2)
    distributed.barrier()
    impatient = distributed.new_group(timeout=datetime.timedelta(seconds=3))
    comm._get_global_gloo_group = lambda: impatient

    def mine_batch(model, items, records, score_thresh):
        waiting.time.sleep(0.8 * rank)
        return [Mined([], [], [], []) for _ in records]

    mining_run.mine_batch = mine_batch
    records = [{"image_id": x, "height": 1, "width": 1, "file_name": str(x)} for x in range(16)]
    with PartialResults(folder / "out.json.partial", {}) as results:
        mine_dataset(None, dict, records, results, "images", batch_size=1, num_workers=0)
        (folder / f"seen_by_{rank}.json").write_text(json.dumps(sorted(results.read("images"))))


def test_mining_in_a_slow_and_a_fast_process(tmp_path):
    """The slow one needs 6.4 seconds, a collective operation waits for 3."""
    in_two_processes(mine_in_a_process_of_its_own, tmp_path)
    for rank in range(2):
        assert json.loads((tmp_path / f"seen_by_{rank}.json").read_text()) == list(range(16))
