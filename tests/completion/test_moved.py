"""Completions whose folder, images or annotations were moved."""

import json

import pytest
import yaml

from comining.completion.acceptance import accept
from comining.completion.complete import complete
from comining.completion.folder import Folder
from comining.completion.review_files import find_review
from comining.errors import InputError

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
