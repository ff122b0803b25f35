"""The command that makes sparsely annotated files."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from comining.annotations.sparse import make_sparse

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "datasets" / "make_sparse_coco.py"


def load_script():
    spec = importlib.util.spec_from_file_location("make_sparse_coco", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


@pytest.fixture
def dataset():
    """Images 1 to 3 with 4, 1 and 0 objects; image 2 has a crowd, too."""
    rows = [(5, 1, 1, 0), (6, 1, 1, 0), (7, 1, 2, 0), (8, 1, 1, 0), (9, 2, 2, 0), (4, 2, 1, 1)]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (3, 1, 2)],
        "annotations": [
            {"id": i, "image_id": m, "category_id": c, "iscrowd": w, "bbox": [0, 0, 2.5, 1]}
            for i, m, c, w in rows
        ],
        "categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "tabby cat"}],
    }


@pytest.fixture
def full(tmp_path, dataset):
    path = tmp_path / "full.json"
    path.write_text(json.dumps(dataset))
    return path


def run(full, output, *more, protocol="hard"):
    args = ["--input", full, "--protocol", protocol, "--seed", 1, "--output", output, *more]
    script.main([str(arg) for arg in args])


def refusal(capsys, *args, **options):
    """The message with which the command refuses; it must write nothing else."""
    with pytest.raises(SystemExit) as caught:
        run(*args, **options)
    assert caught.value.code not in (0, None)
    return f"{caught.value.code}{capsys.readouterr().err}"


def test_writes_the_sparse_data_set(full, dataset, tmp_path):
    run(full, tmp_path / "out.json")
    expected = make_sparse(dataset, "hard", seed=1, file_name="full.json")
    assert json.loads((tmp_path / "out.json").read_text()) == expected


def test_summary(full, tmp_path, capsys):
    run(full, tmp_path / "out.json", "--percent", "100", protocol="miss")
    assert capsys.readouterr().out.splitlines() == [
        "category   annotations       kept  per cent",
        "tabby cat            3          0       0.0",
        "dog                  2          0       0.0",
        "all                  5          0       0.0",
        "crowd annotations, all kept: 1",
        "images without annotations other than crowds: 3 of 3 (1 before)",
        f"written to {tmp_path / 'out.json'}",
    ]


def test_same_bytes_whatever_the_order(full, dataset, tmp_path):
    run(full, tmp_path / "one.json")
    random.Random(0).shuffle(dataset["annotations"])
    dataset["images"].reverse()
    shuffled = tmp_path / "shuffled.json"
    shuffled.write_text(json.dumps(dataset, indent=1))
    run(shuffled, tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_records_the_name_of_the_input_on_request(full, tmp_path):
    run(full, tmp_path / "out.json", "--record-name")
    record = json.loads((tmp_path / "out.json").read_text())["info"]["sparse"]
    assert record["input"] == "full.json"


def test_works_as_a_command(full, tmp_path):
    def command(protocol, output):
        paths = ["--input", full, "--output", output]
        return subprocess.run(
            [sys.executable, SCRIPT, *paths, "--protocol", protocol, "--seed", "1"],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.getenv('PYTHONPATH', '')}"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = command("extreme", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert sorted(a["image_id"] for a in kept if not a["iscrowd"]) == [1, 2]

    refused = command("extreme", full)
    assert refused.returncode != 0
    assert "is the input file" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [}', "line 1 column 13"),
        (b"", "line 1 column 1"),
        (b"\xff\xfe\xfa", "not a JSON file"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": ' + b"9" * 5000 + b"}", "not a JSON file"),
    ],
    ids=["cut", "empty", "binary", "deep", "digits"],
)
def test_refuses_what_is_not_json(full, tmp_path, capsys, content, message):
    full.write_bytes(content)
    error = refusal(capsys, full, tmp_path / "out.json")
    assert message in error
    assert str(full) in error
    assert not (tmp_path / "out.json").exists()


def test_refuses_broken_records_by_id(full, dataset, tmp_path, capsys):
    dataset["annotations"][2]["image_id"] = 77
    full.write_text(json.dumps(dataset))
    error = refusal(capsys, full, tmp_path / "out.json")
    assert "full.json" in error
    assert "1 annotations of an image that is missing: 7" in error
    assert not (tmp_path / "out.json").exists()


def test_reads_a_byte_order_mark(full, tmp_path):
    full.write_bytes(b"\xef\xbb\xbf" + full.read_bytes())
    run(full, tmp_path / "out.json")
    assert (tmp_path / "out.json").exists()


def test_refuses_the_input_as_output(full, tmp_path, capsys):
    before = full.read_bytes()
    (tmp_path / "link.json").symlink_to(full)
    assert "is the input file" in refusal(capsys, full, full)
    assert "is the input file" in refusal(capsys, full, tmp_path / "link.json")
    assert full.read_bytes() == before


def test_refuses_outputs_that_cannot_be(full, tmp_path, capsys):
    assert "doesn't exist" in refusal(capsys, full, tmp_path / "none" / "out.json")
    assert "is a folder" in refusal(capsys, full, tmp_path)


def test_refuses_a_missing_input(tmp_path, capsys):
    assert "none.json" in refusal(capsys, tmp_path / "none.json", tmp_path / "out.json")


def test_images_count_for_what_is_hard_to_see(full, dataset, tmp_path):
    for image in dataset["images"]:
        image.update(width=9, height=9)
        Image.new("RGB", (9, 9)).save(tmp_path / image["file_name"])
    full.write_text(json.dumps(dataset))
    run(full, tmp_path / "out.json", "--images", tmp_path, "--percent", 40, protocol="hard-to-see")
    sparse = json.loads((tmp_path / "out.json").read_text())
    assert len(sparse["annotations"]) == 4  # 2 of 5 are dropped, the crowd stays
    assert "low_contrast" in sparse["info"]["sparse"]["parameters"]["features"]


def test_refuses_wrong_settings(full, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert "only for 'miss'" in refusal(capsys, full, out, "--percent", "50")
    assert "0 to 100" in refusal(capsys, full, out, "--percent", "101", protocol="miss")
    assert "only for 'hard-to-see'" in refusal(capsys, full, out, "--images", tmp_path)
    assert "invalid choice" in refusal(capsys, full, out, protocol="some")
