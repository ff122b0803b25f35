import logging

import numpy as np

from comining.completion.evidence import DECIDED, NEW, SAMPLED, UNDECIDED, Evidence
from comining.completion.hints import of_decided, of_doubtful
from comining.completion.machine import TRUNK_WEIGHTS, Machine
from comining.engine.quiet import quiet_terminal


def box(category_id, bbox, **more):
    return {"image_id": 1, "category_id": category_id, "bbox": bbox, "iscrowd": 0, **more}


def test_what_may_be_a_mistake_is_told_before_the_training():
    names = ["car", "Car ", "bus", "stop  sign", "stop sign", "van"]
    dataset = {
        "categories": [{"id": id_, "name": name} for id_, name in enumerate(names)],
        "annotations": [
            box(0, [10, 10, 20, 20]),
            box(0, [10.2, 10, 20, 20]),
            box(1, [10, 10, 20, 20]),
            box(3, [50, 10, 20, 20], origin="mined", score=0.5),
            box(4, [50, 10, 20, 20]),
            {**box(2, [50, 10, 20, 20]), "iscrowd": 1},
        ],
    }
    assert of_doubtful(dataset) == [
        "the categories 'car' and 'Car ' look like one: if so, give them one name",
        "the categories 'stop  sign' and 'stop sign' look like one: if so, give them one name",
        "nothing can be learnt of categories without a box: bus, van",
        "1 box is where another one of its category is",
        "1 box is taken for annotated, though a program added it and nobody accepted it",
    ]
    sound = {
        "categories": dataset["categories"][:1],
        "annotations": [box(0, [10, 10, 20, 20]), box(0, [15, 10, 20, 20])],
    }
    assert of_doubtful(sound) == []


def test_it_is_told_which_decisions_count_for_others():
    decided = np.array([UNDECIDED, DECIDED, DECIDED, SAMPLED])
    evidence = Evidence(
        image_ids=np.ones(4, dtype=int),
        classes=np.zeros(4, dtype=int),
        scores=np.full(4, 0.5),
        boxes=np.zeros((4, 4)),
        near=np.full(4, NEW),
        right=np.ones(4, dtype=bool),
        decided=decided,
        found_at=np.zeros(0),
        withheld_classes=np.zeros(0, dtype=int),
    )
    assert of_decided(evidence) == [
        "what you decided about 3 boxes stays so",
        "your verdicts on 1 drawn box tell what else is added",
    ]
    assert of_decided(evidence._replace(decided=np.minimum(decided, DECIDED))) == [
        "what you decided about 3 boxes stays so"
    ]
    assert of_decided(evidence._replace(decided=np.zeros(4))) == []


def test_only_imagenets_weights_are_said_to_be_that():
    assert "trained on ImageNet" in Machine("cpu", 1, trunk=TRUNK_WEIGHTS).begins
    own = Machine("cpu", 1, trunk="first/training/model_final.pth")
    assert own.begins == "with the MobileNetV2 of first/training/model_final.pth"


def test_the_log_has_no_colours(tmp_path):
    with quiet_terminal(tmp_path / "log.txt"):
        logging.getLogger("detectron2").info("\x1b[38;5;204mMODEL\x1b[39m: \x1b[32mx\x1b[0m")
    assert (tmp_path / "log.txt").read_text().endswith(" detectron2 INFO: MODEL: x\n")
