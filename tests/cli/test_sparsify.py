"""``comining sparsify``."""

from __future__ import annotations

import json
import random
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from comining.annotations.sparse import make_sparse

OLD_SCRIPT = Path(__file__).parents[2] / "datasets" / "make_sparse_coco.py"


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


@pytest.fixture
def run(command_line):
    """Runs the command."""

    def run(full, output, *more, protocol="hard"):
        words = ["--annotations", full, "--protocol", protocol, "--seed", 1, "--output", output]
        return command_line("sparsify", *words, *more)

    return run


@pytest.fixture
def refusal(run):
    """The message with which the command refuses; it must write nothing else."""

    def refusal(*args, **options):
        done = run(*args, **options)
        assert done.exit_code == 2
        assert done.stdout == ""
        return done.stderr

    return refusal


def test_writes_the_sparse_data_set(full, dataset, tmp_path, run):
    run(full, tmp_path / "out.json")
    expected = make_sparse(dataset, "hard", seed=1, file_name="full.json")
    assert json.loads((tmp_path / "out.json").read_text()) == expected


def test_summary(full, tmp_path, run):
    done = run(full, tmp_path / "out.json", "--percent", "100", protocol="miss")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "category   annotations       kept  per cent",
        "tabby cat            3          0       0.0",
        "dog                  2          0       0.0",
        "all                  5          0       0.0",
        "crowd annotations kept: 1",
        "images without annotations other than crowds: 3 of 3 (1 before)",
        f"written to {tmp_path / 'out.json'}",
    ]


def test_same_bytes_whatever_the_order(full, dataset, tmp_path, run):
    run(full, tmp_path / "one.json")
    random.Random(0).shuffle(dataset["annotations"])
    dataset["images"].reverse()
    shuffled = tmp_path / "shuffled.json"
    shuffled.write_text(json.dumps(dataset, indent=1))
    run(shuffled, tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_records_the_name_of_the_input_on_request(full, tmp_path, run):
    run(full, tmp_path / "out.json", "--record-name")
    record = json.loads((tmp_path / "out.json").read_text())["info"]["sparse"]
    assert record["input"] == "full.json"


def test_json_for_scripts(full, tmp_path, run):
    done = run(full, tmp_path / "out.json", "--percent", "100", "--json", protocol="miss")
    assert json.loads(done.stdout) == {
        "output": str(tmp_path / "out.json"),
        "categories": [
            {"name": "tabby cat", "annotated": 3, "kept": 0},
            {"name": "dog", "annotated": 2, "kept": 0},
        ],
        "crowds": 1,
    }
    assert run(full, tmp_path / "out.json", "--quiet").output == ""


@pytest.mark.parametrize("words", [("--input", "{full}"), ("--input={full}",)])
def test_former_script(full, tmp_path, monkeypatch, words):
    words = [word.format(full=full) for word in words]
    words += ["--protocol", "extreme", "--seed", "1", "--output", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", [str(OLD_SCRIPT), *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(OLD_SCRIPT), run_name="__main__")
    assert end.value.code == 0
    kept = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert sorted(a["image_id"] for a in kept if not a["iscrowd"]) == [1, 2]


def test_a_folder_of_annotation_files_is_told_what_to_do(tmp_path, refusal):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").touch()
    error = refusal(tmp_path / "voc", tmp_path / "out.json")
    assert "voc is a folder; this takes one COCO file" in " ".join(error.split())


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
def test_refuses_what_is_not_json(full, tmp_path, refusal, content, message):
    full.write_bytes(content)
    error = refusal(full, tmp_path / "out.json")
    assert message in error
    assert str(full) in error
    assert not (tmp_path / "out.json").exists()


def test_refuses_broken_records_by_id(full, dataset, tmp_path, refusal):
    dataset["annotations"][2]["image_id"] = 77
    full.write_text(json.dumps(dataset))
    error = refusal(full, tmp_path / "out.json")
    assert "full.json" in error
    assert "1 annotation of an image that is missing: 7" in error
    assert not (tmp_path / "out.json").exists()


def test_reads_a_byte_order_mark(full, tmp_path, run):
    full.write_bytes(b"\xef\xbb\xbf" + full.read_bytes())
    run(full, tmp_path / "out.json")
    assert (tmp_path / "out.json").exists()


def test_refuses_the_input_as_output(full, tmp_path, refusal):
    before = full.read_bytes()
    (tmp_path / "link.json").symlink_to(full)
    assert "is the input file" in refusal(full, full)
    assert "is the input file" in refusal(full, tmp_path / "link.json")
    assert full.read_bytes() == before


def test_refuses_outputs_that_cannot_be(full, tmp_path, refusal):
    assert "doesn't exist" in refusal(full, tmp_path / "none" / "out.json")
    assert "is a folder" in refusal(full, tmp_path)


def test_refuses_a_missing_input(tmp_path, refusal):
    assert "none.json" in refusal(tmp_path / "none.json", tmp_path / "out.json")
    refused = refusal(tmp_path / "none.json", tmp_path / "gone" / "out.json")
    assert "none.json" in refused
    assert "gone" not in refused


def test_images_count_for_what_is_hard_to_see(full, dataset, tmp_path, run):
    for image in dataset["images"]:
        image.update(width=9, height=9)
        Image.new("RGB", (9, 9)).save(tmp_path / image["file_name"])
    full.write_text(json.dumps(dataset))
    run(full, tmp_path / "out.json", "--images", tmp_path, "--percent", 40, protocol="hard-to-see")
    sparse = json.loads((tmp_path / "out.json").read_text())
    assert len(sparse["annotations"]) == 4  # 2 of 5 are dropped, the crowd stays
    assert "low_contrast" in sparse["info"]["sparse"]["parameters"]["features"]


def test_refuses_wrong_settings(full, tmp_path, refusal):
    out = tmp_path / "out.json"
    assert "only for 'miss'" in refusal(full, out, "--percent", "50")
    assert "0 to 100" in refusal(full, out, "--percent", "101", protocol="miss")
    assert "only for 'hard-to-see'" in refusal(full, out, "--images", tmp_path)
    assert "'some' is not one of" in refusal(full, out, protocol="some")


def test_what_is_known_is_written(full, tmp_path, run):
    """Of three images one stays complete; the other two come from sources of one category each."""
    options = ["--exhaustive-share", 0.34, "--sources", 2]
    done = run(full, tmp_path / "out.json", *options, protocol="class-subsets")
    assert done.exit_code == 0
    made = json.loads((tmp_path / "out.json").read_text())
    known = sorted(tuple(x["exhaustive_category_ids"]) for x in made["images"])
    assert known == [(1,), (1, 2), (2,)]
    number = sum(x["iscrowd"] for x in made["annotations"])
    assert f"crowd annotations kept: {number}" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--exhaustive-share", 2], "the exhaustive share must be within 0 to 1"),
        (["--sources", 2], "sources have no meaning for 'hard'"),
    ],
)
def test_options_that_make_no_sense(full, tmp_path, refusal, options, message):
    assert message in refusal(full, tmp_path / "out.json", *options)
