"""What a review rejected, in completions that come after it."""

import json

import pytest

from comining.completion import work
from comining.completion.complete import complete
from comining.errors import InputError

from .planned import found_on_every_image

pytestmark = pytest.mark.usefixtures("without_curves")
TIME = "2026-03-01T12:00:00Z"


def decide(output, *decided):
    """Decisions about boxes, and ``finish`` of images by their ids."""
    lines = [
        {"key": f"k{x['id']}", "action": action, "image_id": x["image_id"], "id": x["id"],
         "was": x["bbox"], "time": TIME}
        if action != "finish"
        else {"key": f"f{x}", "action": action, "image_id": x, "time": TIME}
        for x, action in decided
    ]  # fmt: skip
    (output / "decisions.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))


def added_to(done):
    return [x["image_id"] for x in done.dataset["annotations"] if x.get("origin") == "mined"]


@pytest.fixture
def completed(planned, monkeypatch):
    """The images, the annotations and the folder of a completion that added a box to each of 12
    images; further ones need no training."""
    arguments, _ = planned
    monkeypatch.setattr(work, "mine", found_on_every_image)
    complete(*arguments, device="cpu")
    monkeypatch.setattr(work, "train_detector", lambda *_: None)
    monkeypatch.setattr(work.Work, "_set_pace", lambda self, *_: (
        self.folder.pace.write_text((arguments[2] / "pace.json").read_text())
    ))  # fmt: skip
    return arguments


def test_what_was_rejected_is_not_proposed_again(completed):
    images, annotations, first = completed
    proposals = json.loads((first / "proposals.json").read_text())
    decide(first, (proposals[0], "reject"), (proposals[1], "accept"), (3, "finish"))
    second = first.with_name("second")
    done = complete(images, annotations, second, device="cpu", reviewed=first)
    assert added_to(done) == [2, *range(4, 13)]
    assert len(json.loads((second / "proposals.json").read_text())) == 10
    # The folder knows it from then on, and so does the next one.
    assert added_to(complete(images, annotations, second, device="cpu")) == [2, *range(4, 13)]
    proposal = json.loads((second / "proposals.json").read_text())[-1]
    decide(second, (proposal, "reject"))
    third = first.with_name("third")
    done = complete(images, annotations, third, device="cpu", reviewed=second)
    assert added_to(done) == [2, *range(4, 12)]


def test_annotated_boxes_that_were_rejected_do_not_come_back(completed):
    images, annotations, first = completed
    dataset = json.loads(annotations.read_text())
    cat = dataset["annotations"][0]
    decide(first, (cat, "reject"))
    dataset["annotations"] = dataset["annotations"][1:]
    less = annotations.with_name("less.json")
    less.write_text(json.dumps(dataset))
    second, third = first.with_name("second"), first.with_name("third")
    new = complete(images, less, second, device="cpu").folder / "proposals.json"
    assert cat["bbox"] in [x["bbox"] for x in json.loads(new.read_text())]
    new = complete(images, less, third, device="cpu", reviewed=first).folder / "proposals.json"
    assert cat["bbox"] not in [x["bbox"] for x in json.loads(new.read_text())]


def test_boxes_of_other_categories_and_places_stay(completed):
    images, annotations, first = completed
    one, other, *_ = json.loads((first / "proposals.json").read_text())
    decide(first, (one, "reject"), (other, "reject"))
    second = first.with_name("second")
    complete(images, annotations, second, device="cpu", reviewed=first, dry_run=True)
    name, category, box = json.loads((second / "rejected.json").read_text())[0]
    assert (name, category, box) == ("bild ü 1.png", "dog", [40, 34, 24, 13])
    # Half of the box, as of [40, 34, 12, 13], is no more the same one; "cat" is another category.
    known = [[name, "cat", box], ["bild ü 2.png", category, [40, 34, 12, 13]]]
    (second / "rejected.json").write_text(json.dumps(known))
    assert added_to(complete(images, annotations, second, device="cpu")) == list(range(1, 13))


def test_mistakes_are_told(completed, command_line):
    images, annotations, first = completed
    second = first.with_name("second")
    arguments = "complete", images, annotations, "--device", "cpu", "--output"
    told = command_line(*arguments, second, "--reviewed", first)
    assert told.exit_code == 2
    assert f"--reviewed {first}: nothing was decided there" in told.stderr
    assert not second.exists()
    told = command_line(*arguments, second, "--reviewed", first / "none")
    assert "none is not there: name the --output of `comining complete`" in told.stderr
    proposal = json.loads((first / "proposals.json").read_text())[0]
    decide(first, (proposal, "reject"))
    with pytest.raises(InputError, match="is the --output, whose review counts anyway"):
        complete(images, annotations, first, device="cpu", reviewed=first)
    complete(images, annotations, second, device="cpu")
    decide(second, (proposal, "accept"))
    with pytest.raises(InputError, match="decisions were made about proposals, which would be"):
        complete(images, annotations, second, device="cpu", reviewed=first)


def test_images_may_be_gone_since(completed):
    images, annotations, first = completed
    proposals = json.loads((first / "proposals.json").read_text())
    decide(first, (proposals[0], "reject"), (proposals[1], "reject"))
    dataset = json.loads(annotations.read_text())
    gone = dataset["images"].pop(0)
    dataset["annotations"] = [x for x in dataset["annotations"] if x["image_id"] != gone["id"]]
    annotations.write_text(json.dumps(dataset))
    (images / gone["file_name"]).unlink()
    second = first.with_name("second")
    done = complete(images, annotations, second, device="cpu", reviewed=first)
    assert added_to(done) == list(range(3, 13))


def test_a_better_box_in_place_of_a_rejected_one_is_no_mistake(completed):
    images, annotations, first = completed
    proposal = json.loads((first / "proposals.json").read_text())[0]
    decide(first, (proposal, "reject"))
    drawn = {"key": "d", "action": "add", "image_id": proposal["image_id"], "id": "d", "time": TIME,
             "bbox": [41, 33, 23, 14], "category_id": proposal["category_id"]}  # fmt: skip
    with (first / "decisions.jsonl").open("a") as file:
        file.write(f"{json.dumps(drawn)}\n")
    second = first.with_name("second")
    done = complete(images, annotations, second, device="cpu", reviewed=first)
    assert added_to(done) == list(range(1, 13))


def test_a_sample_of_other_proposals_counts_no_more(completed):
    images, annotations, first = completed
    second = first.with_name("second")
    complete(images, annotations, second, device="cpu")
    (second / "sample.json").write_text("[[1001, 1002]]")
    proposal = json.loads((first / "proposals.json").read_text())[0]
    decide(first, (proposal, "reject"))
    complete(images, annotations, second, device="cpu", reviewed=first)
    assert not (second / "sample.json").exists()
