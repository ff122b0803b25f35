import re
import sys

import benchmark
import pytest
import torch
from benchmarks.step import peak_memory


@pytest.mark.parametrize(
    "options", [["--threshold", "adaptive"], ["--detector", "FCOS"]], ids=["RetinaNet", "FCOS"]
)
def test_step_is_measured_part_by_part(options, monkeypatch, capsys):
    """Its parts are found by the names of functions, which may change."""
    words = ["--repeats", "1", "step", "--sizes", "64x64", "--batches", "1", "--classes", "3"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words, *options])
    benchmark.main()
    printed = capsys.readouterr().out
    assert re.search(r"seconds .* on 2N \d.*, Co-mining on N \d.*, ratio \d", printed)
    phases = re.search(r"phases +(.*)", printed)[1]
    shares = {
        name: float(share) for name, share in re.findall(r"([a-z][a-z ]*?) ([\d.]+)%", phases)
    }
    assert all(shares[name] > 0 for name in ("backbone", "head", "mining", "losses", "backward"))
    assert 85 < sum(shares.values()) < 101
    assert "host waits" in printed


def test_step_with_what_is_known_is_measured_against_one_without(monkeypatch, capsys):
    words = ["--repeats", "1", "known", "--sizes", "64x64", "--images", "1", "--classes", "3"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    benchmark.main()
    printed = capsys.readouterr().out
    assert re.search(r"nothing 1\.000, .*, finished \d\.\d+, known \d\.\d+", printed)


def test_methods_are_measured_beside_the_first(monkeypatch, capsys):
    words = ["--repeats", "1", "methods", "--study", "configs/studies/quick.yaml"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words, "--edge", "64", "--images", "1"])
    benchmark.main()
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert re.fullmatch(r"plain +\d.* s, x 1\.00; \d+ MiB, x 1\.00", first)
    assert re.fullmatch(r"comining +\d.* s, x \d.*; \d+ MiB, x 1\.\d+", second)


def test_memory_on_a_gpu_is_what_a_step_adds(monkeypatch):
    taken = {"held": 300, "most": 900}

    def forget():
        taken["most"] = taken["held"]

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forget)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: taken["held"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: taken["most"])
    assert peak_memory(lambda: taken.update(most=420), "cuda") == 120
