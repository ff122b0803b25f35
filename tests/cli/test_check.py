"""``comining check``, whatever the check itself finds."""

import json

import pytest

from comining.annotations import check
from comining.annotations.coco_file import Report


@pytest.fixture
def reported(monkeypatch):
    """The report that the check gives; what it was asked is in ``reported.asked``."""
    report = Report("a.json", 3, 4, 2)
    report.asked = []

    def answer(annotations, images=None, *, decode=True, workers=2):
        report.asked.append((str(annotations), images and str(images), decode, workers))
        return report

    monkeypatch.setattr(check, "check", answer, raising=False)
    return report


def test_options_reach_the_check(command_line, reported):
    assert command_line("check", "a.json").exit_code == 0
    command_line("check", "a.json", "--images", "photos", "--no-decode", "--workers", 3)
    assert reported.asked == [("a.json", None, True, 2), ("a.json", "photos", False, 3)]


def test_what_is_wrong_is_the_exit_code(command_line, reported):
    reported.add("note", "images are odd", [5, 6])
    done = command_line("check", "a.json")
    assert done.stdout.startswith(f"{reported}\n")
    assert done.exit_code == 0
    assert command_line("check", "a.json", "--quiet").output == ""
    reported.add("error", "images are broken", [7])
    done = command_line("check", "a.json", "--quiet")
    assert "error: 1 image is broken (7)" in done.stdout
    assert done.exit_code == 1


def test_json_for_scripts(command_line, reported):
    reported.add("error", "images are broken", list(range(9)))
    done = command_line("check", "a.json", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "json_file": "a.json", "num_images": 3, "num_annotations": 4, "num_categories": 2,
        "known": {},
        "findings": [
            {"severity": "error", "text": "images are broken", "offenders": list(range(9))}
        ],
    }  # fmt: skip


def test_a_folder_of_annotation_files_is_told_what_to_do(command_line, reported, tmp_path):
    done = command_line("check", tmp_path)
    assert done.exit_code == 2
    told = " ".join(done.stderr.split())
    assert f"{tmp_path} is a folder; this takes one COCO file" in told
    assert f"`comining convert IMAGES {tmp_path} --output {tmp_path.stem}.json`" in told
    assert reported.asked == []


def test_a_file_of_another_format_is_told_what_to_do(command_line, reported):
    told = " ".join(command_line("check", "mine/data.yaml").stderr.split())
    assert "mine/data.yaml is a .yaml file; this takes one COCO file" in told
    assert "`comining convert IMAGES mine/data.yaml --output data.json`" in told
    assert reported.asked == []
