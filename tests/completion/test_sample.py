import json
import re
import shutil

import pytest
from PIL import Image

from comining.annotations.decisions import Decisions
from comining.completion.proposals import verdicts, with_proposals
from comining.completion.review_files import find_review
from comining.completion.reviewing import Shown, serve, write_page
from comining.completion.sample import draw_sample, with_sample
from comining.errors import InputError
from tests.completion.served import write_folder


def data(scores):
    """One mined box for each score, with ids from 100, and an annotated one."""
    rows = [[1, 0, 0, 0, 9, 9, score, 0, 100 + i] for i, score in enumerate(scores)]
    return {"images": [{"boxes": [[0, 0, 0, 0, 9, 9, None, 0, 1], *rows]}, {"boxes": []}]}


def by_id(scores):
    return {100 + i: score for i, score in enumerate(scores)}


def test_sample_takes_one_of_each_part_of_the_scores():
    scores = [i / 100 for i in range(100)]
    drawn = draw_sample(by_id(scores), 10, seed=0)
    assert sorted((id_ - 100) // 10 for id_ in drawn) == list(range(10))
    assert drawn != sorted(drawn)


def test_each_box_is_drawn_as_often():
    counts = dict.fromkeys(range(100, 110), 0)
    for seed in range(600):
        for id_ in draw_sample(by_id([0.5] * 10), 4, seed):
            counts[id_] += 1
    # Expected are 240 of each, with a standard deviation of 12.
    assert all(192 < number < 288 for number in counts.values())


def test_seed_fixes_the_sample():
    many = by_id([0.5] * 200)
    assert draw_sample(many, 20, seed=3) == draw_sample(many, 20, seed=3)
    assert draw_sample(many, 20, seed=3) != draw_sample(many, 20, seed=4)


def test_of_few_boxes_all_are_drawn():
    assert sorted(draw_sample(by_id([0.2, 0.9, 0.4]), 40, seed=0)) == [100, 101, 102]
    with pytest.raises(InputError, match="nothing was mined"):
        draw_sample(by_id([]), 40, seed=0)


def test_page_gets_an_interval_for_each_result():
    sample = with_sample(data([0.2, 0.9, 0.4]), 40, seed=0)["sample"]
    assert [low <= right / 3 <= high for right, (low, high) in enumerate(sample["intervals"])] == [
        True
    ] * 4


BOX = {"bbox": [10, 10, 20, 20], "category_id": 3, "area": 400, "iscrowd": 0}


@pytest.fixture
def folder(tmp_path):
    """Of a completion that proposes four boxes, of which the first two are surest and added."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (100, 80)).save(tmp_path / "images" / "1.png")
    proposals = [
        {"id": 2 + place, "image_id": 1, **BOX, "origin": "mined", "score": score}
        for place, score in enumerate((0.9, 0.8, 0.3, 0.2))
    ]
    dataset = {
        "images": [{"id": 1, "file_name": "1.png", "width": 100, "height": 80}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, **BOX}],
    }
    write_folder(tmp_path / "done", dataset, tmp_path / "images")
    done = tmp_path / "done"
    shutil.copy(done / "annotations.json", tmp_path / "input.json")
    source = json.loads((done / "source.json").read_text())
    source["annotations"] = str(tmp_path / "input.json")
    (done / "source.json").write_text(json.dumps(source))
    (done / "proposals.json").write_text(json.dumps(proposals))
    dataset["annotations"] += proposals[:2]
    (done / "completed.json").write_text(json.dumps(dataset))
    return done


def decide(folder, *pairs):
    lines = [
        {"key": f"k{id_}", "action": action, "image_id": 1, "id": id_, "was": BOX["bbox"],
         "time": "2026-03-01T12:00:00Z"}
        for id_, action in pairs
    ]  # fmt: skip
    (folder / "decisions.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))


def page_data(folder, sample=None):
    review = find_review(folder, None)
    write_page(review, Shown(sample=sample), folder / "page.html", None)
    text = (folder / "page.html").read_text()
    return json.loads(re.search(r'type="application/json"[^>]*>(.*?)</script>', text, re.S)[1])


def served_data(folder, monkeypatch):
    """What the server would show."""
    shown = []

    def take(title, data, images, log):
        shown.append(data)
        raise InputError("the port is taken")

    monkeypatch.setattr("comining.completion.server.ReviewServer", take)
    with pytest.raises(InputError, match="taken"):
        serve(find_review(folder, None), Shown(), 0, print, open_browser=False)
    return shown[0]


def mined_ids(data):
    return {x[8] for image in data["images"] for x in image["boxes"] if x[6] is not None}


def test_sample_is_drawn_of_all_that_was_proposed(folder):
    data = page_data(folder, sample=4)
    assert sorted(data["sample"]["ids"]) == [2, 3, 4, 5]
    assert json.loads((folder / "sample.json").read_text()) == [[2, 3, 4, 5]]
    assert mined_ids(page_data(folder)) == {2, 3}  # as they come, those that were added


def test_second_sample_is_noted_beside_the_first(folder):
    first, second = (set(page_data(folder, sample=n)["sample"]["ids"]) for n in (1, 3))
    page_data(folder, sample=3)  # the same once more
    assert json.loads((folder / "sample.json").read_text()) == [sorted(first), sorted(second)]


def test_what_was_decided_about_is_shown_and_accepted_whether_it_was_added_or_not(
    folder, command_line, monkeypatch
):
    decide(folder, (2, "reject"), (4, "accept"), (1, "accept"))
    assert mined_ids(served_data(folder, monkeypatch)) == {2, 3, 4}
    done = command_line("accept", folder)
    assert done.exit_code == 0, done.output
    accepted = json.loads((folder / "accepted.json").read_text())["annotations"]
    assert [(x["id"], x.get("origin")) for x in accepted] == [(1, None), (4, None)]
    done = command_line("accept", folder, "--unreviewed", "keep")
    accepted = json.loads((folder / "accepted.json").read_text())["annotations"]
    assert [(x["id"], x.get("origin")) for x in accepted] == [(1, None), (3, "mined"), (4, None)]


def test_which_proposals_were_right(folder):
    proposals = json.loads((folder / "proposals.json").read_text())
    dataset = json.loads((folder / "completed.json").read_text())
    decisions = Decisions(with_proposals(dataset, proposals))

    def add(action, **fields):
        common = {
            "key": f"k{len(decisions.records)}",
            "image_id": 1,
            "time": "2026-03-01T12:00:00Z",
        }
        decisions.add({**common, "action": action, **fields})

    add("accept", id=2, was=BOX["bbox"])
    add("change", id=3, was=BOX["bbox"], bbox=[14, 10, 20, 20])  # IoU 16 / 24
    add("change", id=4, was=BOX["bbox"], bbox=[20, 10, 20, 20])  # IoU 10 / 30
    assert verdicts(decisions, proposals) == {2: True, 3: True, 4: False}
    add("finish")  # nothing else is there
    assert verdicts(decisions, proposals) == {2: True, 3: True, 4: False, 5: False}


def test_page_knows_how_many_of_the_proposals_were_not_added(folder):
    assert page_data(folder, sample=3)["sample"]["not_added"] == 2
