"""Completions whose folder, images or annotations were moved."""

import json
import re

import pytest
import torch
import torchvision
import yaml

from comining.completion.acceptance import accept
from comining.completion.complete import complete
from comining.completion.folder import Folder
from comining.completion.review_files import find_review
from comining.errors import InputError

from .planned import write_dataset

pytestmark = pytest.mark.usefixtures("without_curves")


def test_a_moved_completion_goes_on_where_it_is(planned, tmp_path):
    (images, annotations, output), dataset = planned
    complete(images, annotations, output, device="cpu")
    trained = (output / "training" / "model_final.pth").stat().st_mtime_ns
    place = tmp_path / "a new\\1 place"
    place.mkdir()
    moved = [x.rename(place / x.name) for x in (images, annotations, output)]
    complete(*moved, device="cpu")
    folder = Folder(moved[2])
    assert not output.exists()
    assert not folder.former_training.exists()
    assert folder.final_weights.stat().st_mtime_ns == trained
    config = yaml.safe_load(folder.config.read_text())
    assert config["OUTPUT_DIR"] == str(folder.training)
    register = [["training", str(folder.training_annotations), str(moved[0])]]
    assert config["DATASETS"]["REGISTER"] == register
    assert json.loads(folder.source.read_text())["annotations"] == str(moved[1])
    dataset["annotations"].pop()
    moved[1].write_text(json.dumps(dataset))
    with pytest.raises(InputError, match="as they were: the images or their annotations differ"):
        complete(*moved, device="cpu")


def test_an_interrupted_training_goes_on_elsewhere(planned, tmp_path):
    arguments, _ = planned
    complete(*arguments, device="cpu")
    folder = Folder(arguments[2].rename(tmp_path / "moved"))
    folder.final_weights.unlink()
    (folder.training / "last_checkpoint").unlink()
    complete(*arguments[:2], folder.path, device="cpu")
    assert folder.final_weights.exists()
    assert not arguments[2].exists()


def test_accepting_asks_for_the_new_place_of_the_annotations(planned, tmp_path):
    (images, annotations, output), dataset = planned
    complete(images, annotations, output, device="cpu")
    annotations = annotations.rename(tmp_path / "moved.json")
    with pytest.raises(InputError, match="there any more: put it back, or give `comining complete"):
        accept(find_review(output, None), keep_unreviewed=True)
    complete(images, annotations, output, device="cpu")
    accepted = accept(find_review(output, None), keep_unreviewed=True)
    assert accepted.number >= len(dataset["annotations"])


def test_what_a_finished_training_began_with_may_be_gone(tmp_path):
    write_dataset(tmp_path)
    weights = tmp_path / "trunk.pth"
    torch.save(torchvision.models.mobilenet_v2().state_dict(), weights)
    arguments = tmp_path / "photos", tmp_path / "half.json", tmp_path / "out"
    complete(*arguments, device="cpu", weights=weights, dry_run=True)
    text = (arguments[2] / "config.yaml").read_text().replace("NUM_CONVS: 2", "NUM_CONVS: 1")
    (arguments[2] / "config.yaml").write_text(re.sub("MAX_ITER: .*", "MAX_ITER: 1", text))
    pace = {"iterations": 1, "training": 1, "mining": 1, "why": "a test"}
    (arguments[2] / "pace.json").write_text(json.dumps(pace))
    complete(*arguments, device="cpu")
    weights.unlink()
    trained = Folder(arguments[2]).final_weights.stat().st_mtime_ns
    complete(*arguments, device="cpu")
    assert Folder(arguments[2]).final_weights.stat().st_mtime_ns == trained


def test_data_sets_that_a_user_has_added_stay(planned):
    arguments, _ = planned
    folder = Folder(arguments[2])
    extra = ["extra", str(arguments[1]), str(arguments[0])]
    text = folder.config.read_text()
    text = re.sub(r"REGISTER: \[\[(.*)\]\]", rf"REGISTER: [[\1], {json.dumps(extra)}]", text)
    folder.config.write_text(text)
    complete(*arguments, device="cpu")
    moved = folder.path.rename(folder.path.with_name("moved"))
    complete(*arguments[:2], moved, device="cpu")
    config = yaml.safe_load((moved / "config.yaml").read_text())
    own, other = config["DATASETS"]["REGISTER"]
    assert own[1] == str(moved / "training.json")
    assert other == extra
    assert not Folder(moved).former_training.exists()
