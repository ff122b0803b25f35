"""Judging a sample of proposals by eye."""

import csv
import json

import judge
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """A completion with proposals 2 to 11 of scores 0.2 to 0.65, of which the upper half was
    added."""
    Image.new("RGB", (60, 40), "white").save(tmp_path / "1.png")
    dataset = {
        "images": [{"id": 7, "file_name": "1.png", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [40, 10, 10, 10]}],
        "categories": [{"id": 2, "name": "cat"}],
    }
    proposals = [
        {"id": 2 + i, "image_id": 7, "category_id": 2, "bbox": [10, 10, 20, 10],
         "score": 0.2 + i / 20} for i in range(10)
    ]  # fmt: skip
    dataset["annotations"] += proposals[5:]
    (tmp_path / "completed.json").write_text(json.dumps(dataset))
    (tmp_path / "proposals.json").write_text(json.dumps(proposals))
    return tmp_path


def judged(path, verdicts):
    """A file of verdicts, (added, verdict) each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(judge.COLUMNS)
        for number, (added, verdict) in enumerate(verdicts, 1):
            writer.writerow((number, "1.png", 10, 10, 20, 10, 0.5, added, verdict))
    return path


def test_draws_evenly_over_the_scores_by_a_seed(folder):
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        arguments = ("--number", 5, "--seed", seed, "--output", folder / name)
        judge.main([str(x) for x in ("draw", folder, *arguments)])
        drawn.append(judge.read_rows(folder / name))
    first, again, other = drawn
    assert first == again != other
    scores = sorted(float(x["score"]) for x in first)
    assert [int((score - 0.2 + 1e-9) * 10) for score in scores] == [0, 1, 2, 3, 4]
    assert {x["added"] for x in first if float(x["score"]) < 0.44} == {"no"}
    assert {x["added"] for x in first if float(x["score"]) > 0.44} == {"yes"}
    assert {(x["file_name"], x["x"], x["verdict"]) for x in first} == {("1.png", "10", "")}


def test_pages_show_the_proposal_in_the_middle(folder):
    verdicts = judged(folder / "verdicts.csv", [("yes", "right")] * 25)
    annotations, output = folder / "completed.json", folder / "pages"
    judge.main([str(x) for x in ("pages", verdicts, annotations, folder, "--output", output)])
    assert sorted(x.name for x in output.iterdir()) == ["1.png", "2.png"]
    with Image.open(output / "1.png") as page:
        # Of 20 x 10 pixels, drawn 120 wide: from 65 to 185 across and 95 to 155 down.
        assert page.getpixel((66, 125)) == (0, 0, 255)
        assert page.getpixel((125, 125)) == (255, 255, 255)
        assert page.getpixel((200, 2)) == (0, 0, 0)  # beyond the image
        assert page.getpixel((245, 125)) == (0, 255, 0)  # the annotated box, 20 pixels further
    with Image.open(output / "2.png") as page:
        assert page.getpixel((66, 125)) == (0, 0, 255)
        assert page.getpixel((66 + judge.SIZE, 125)) == (0, 0, 0)


def test_counts_right_ones(folder, capsys):
    """By hand, with z = 1.645: 8 of 10 are (8 + 1.353) / 12.706 +- 0.195."""
    verdicts = [("yes", "right")] * 8 + [("yes", "unclear"), ("yes", "wrong"), ("no", "right")]
    judge.main(["count", str(judged(folder / "verdicts.csv", [*verdicts, ("no", "")]))])
    assert capsys.readouterr().out.splitlines() == [
        "added     8 of 10 right, 1 unclear: 80.0% (54.1% to 93.1%)",
        "not added 1 of 1 right, 0 unclear: 100.0% (27.0% to 100.0%)",
        "all       9 of 11 right, 1 unclear: 81.8% (57.3% to 93.8%)",
    ]


def test_unknown_verdict(folder):
    path = judged(folder / "verdicts.csv", [("yes", "perhaps")])
    with pytest.raises(SystemExit, match="number 1: the verdict is 'perhaps'; write one of right,"):
        judge.main(["count", str(path)])
