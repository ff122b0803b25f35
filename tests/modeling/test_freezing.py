"""What is remembered of labels from epoch to epoch, by hand."""

from copy import deepcopy

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from comining.engine import Checkpointer
from comining.errors import InputError
from comining.modeling import freezing
from comining.modeling.freezing import MOST_REMEMBERED, LabelMemory
from comining.modeling.origin import Origin
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import make_labels

#: Of an image of 100 x 50: as it is; mirrored; twice as large; its right half.
PLAIN = (50, 100), [[1, 0, 0], [0, 1, 0]]
MIRRORED = (50, 100), [[-1, 0, 100], [0, 1, 0]]
DOUBLE = (100, 200), [[2, 0, 0], [0, 2, 0]]
RIGHT_HALF = (50, 50), [[1, 0, -50], [0, 1, 0]]


def views(*kinds, ids=None):
    """A batch of images 1, 2, ... or of those with the ids, as they are augmented."""
    ids = ids or range(1, len(kinds) + 1)
    sizes = [size for size, _ in kinds]
    origins = [
        Origin.of_item({"image_id": id_, "frame": torch.tensor(frame)})
        for id_, (_, frame) in zip(ids, kinds, strict=True)
    ]
    nothing = [None] * len(kinds)
    return TwoViews(
        torch.zeros(2, 3, 8, 8), sizes * 2, [False] * len(kinds), nothing, None, origins
    )


def see(memory, images, labels):
    """Compare and remember; the confidences."""
    compared, rows = memory.compare(labels, images)
    memory.remember(rows)
    return compared.scores.tolist()


def remembered(memory):
    """Of all images: boxes, classes and confidences."""
    rows = torch.cat([torch.zeros(0, 6), *memory.remembered.values()])
    return [(x[:4].tolist(), int(x[4]), pytest.approx(x[5].item(), abs=1e-6)) for x in rows]


def test_found_again_lost_and_frozen():
    memory = LabelMemory(0.3)
    one, images = make_labels([[10, 10, 30, 30]], classes=[2], scores=[0.5]), views(PLAIN)
    assert see(memory, images, one) == [0.5]
    moved = make_labels([[12, 10, 32, 30]], classes=[2], scores=[0.4])  # an IoU of 9/11
    assert see(memory, images, moved) == pytest.approx([0.8])
    assert remembered(memory) == [([12, 10, 32, 30], 2, 0.8)]
    assert see(memory, images, one.none()) == []
    assert remembered(memory) == [([12, 10, 32, 30], 2, 0.5)]
    assert len(memory.frozen(images)[0].boxes) == 0
    surer = one._replace(scores=torch.tensor([0.7]))
    assert see(memory, images, surer) == [1.0]  # of the higher score
    assert len(memory.frozen(images)[0].boxes) == 0
    assert see(memory, images, surer) == pytest.approx([1.3])
    frozen, cut = memory.frozen(images)
    assert len(cut.boxes) == 0
    assert frozen.boxes.tolist() == [[10, 10, 30, 30]]
    assert (frozen.classes.tolist(), frozen.images.tolist()) == ([2], [0])
    assert frozen.scores.tolist() == [1]
    for _ in range(9):
        see(memory, images, one.none())
    assert remembered(memory) == [([10, 10, 30, 30], 2, 1.3)]


def test_forgotten():
    memory, images = LabelMemory(0.3), views(PLAIN)
    see(memory, images, make_labels([[0, 0, 9, 9]], scores=[0.3]))
    see(memory, images, make_labels([]))
    assert memory.remembered == {}


def test_another_class_or_place_is_another_label():
    memory, images = LabelMemory(0.1), views(PLAIN)
    see(memory, images, make_labels([[0, 0, 10, 10]], scores=[0.5]))
    others = make_labels([[0, 0, 10, 10], [0, 5, 10, 15]], classes=[1, 0], scores=[0.3, 0.2])
    assert see(memory, images, others) == pytest.approx([0.3, 0.2])
    expected = [([0, 0, 10, 10], 0, 0.4), ([0, 0, 10, 10], 1, 0.3), ([0, 5, 10, 15], 0, 0.2)]
    assert remembered(memory) == expected


def test_each_is_found_once():
    """By what overlaps it most; what else does so is new."""
    memory, images = LabelMemory(0.1), views(PLAIN)
    see(memory, images, make_labels([[0, 0, 10, 10]], scores=[0.5]))
    both = make_labels([[0, 0, 10, 8], [0, 0, 10, 9]], scores=[0.3, 0.2])
    assert see(memory, images, both) == pytest.approx([0.3, 0.6])


def test_images_are_told_apart():
    memory = LabelMemory(0.1)
    labels = make_labels([[0, 0, 9, 9], [0, 0, 9, 9]], images=[0, 1], scores=[0.5, 0.2])
    see(memory, views(PLAIN, PLAIN), labels)
    swapped = views(PLAIN, PLAIN, ids=[2, 1])
    assert see(memory, swapped, labels) == pytest.approx([0.6, 0.6])
    assert see(memory, views(PLAIN, ids=[3]), make_labels([[0, 0, 9, 9]], scores=[0.1])) == [
        pytest.approx(0.1)
    ]


def test_files_of_one_id_are_told_apart_wherever_their_folder_lies():
    names = ("x/a/1.jpg", "y/a/1.jpg", "x/a/2.jpg", "x/b/1.jpg")
    identity = torch.eye(2, 3)
    keys = [Origin.of_item({"image_id": 1, "file_name": x, "frame": identity}).key for x in names]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert Origin.of_item({"image_id": 1}) is None
    assert Origin.of_item({"frame": identity}) is None


def test_frames():
    """What is seen plain is found mirrored and enlarged."""
    memory = LabelMemory(0.3)
    see(memory, views(PLAIN), make_labels([[10, 10, 30, 40]], scores=[0.5]))
    mirrored = make_labels([[70, 10, 90, 40]], scores=[0.1])
    assert see(memory, views(MIRRORED), mirrored) == pytest.approx([0.8])
    assert remembered(memory) == [([10, 10, 30, 40], 0, 0.8)]
    double = make_labels([[20, 20, 60, 80]], scores=[0.1])
    assert see(memory, views(DOUBLE), double) == pytest.approx([1.1])
    assert memory.frozen(views(MIRRORED))[0].boxes.tolist() == [[70, 10, 90, 40]]
    assert memory.frozen(views(DOUBLE))[0].boxes.tolist() == [[20, 20, 60, 80]]
    assert len(memory.frozen(views(RIGHT_HALF))[0].boxes) == 0  # it lies in the left one


def test_crops():
    """What lies outside is neither found nor lost; what is cut keeps its place when found."""
    memory = LabelMemory(0.2)
    boxes = [[10, 10, 30, 30], [45, 10, 65, 30], [30, 35, 60, 45], [70, 10, 90, 30]]
    see(memory, views(PLAIN), make_labels(boxes, scores=[0.5] * 4))
    # Of the second three quarters are there, of the third a third; the fourth is whole but lost.
    found = make_labels([[0, 10, 15, 30]], scores=[0.1])
    assert see(memory, views(RIGHT_HALF), found) == pytest.approx([0.7])
    expected = [(boxes[1], 0, 0.7), (boxes[0], 0, 0.5), (boxes[2], 0, 0.5), (boxes[3], 0, 0.3)]
    assert remembered(memory) == expected
    see(memory, views(PLAIN), make_labels([boxes[1]], scores=[0.9]))
    assert memory.frozen(views(RIGHT_HALF))[0].boxes.tolist() == [[0, 10, 15, 30]]


def test_of_what_is_frozen_a_sliver_is_no_object():
    """As of annotated boxes: of this one two fifths are left."""
    memory = LabelMemory(0.2)
    for _ in range(2):
        see(memory, views(PLAIN), make_labels([[35, 10, 60, 30]], scores=[0.9]))
    there, cut = memory.frozen(views(RIGHT_HALF))
    assert len(there.boxes) == 0
    assert (cut.boxes.tolist(), cut.images.tolist()) == ([[0, 10, 10, 30]], [0])


def test_frozen_after_as_many_steps_as_are_counted():
    """0.3 and seven times 0.1 are 1, but for rounding, and not above."""
    memory, images = LabelMemory(0.1), views(PLAIN)
    for _ in range(8):
        see(memory, images, make_labels([[0, 0, 9, 9]], scores=[0.3]))
    assert len(memory.frozen(images)[0].boxes) == 0
    see(memory, images, make_labels([[0, 0, 9, 9]], scores=[0.3]))
    assert len(memory.frozen(images)[0].boxes) == 1


def test_labels_beyond_the_picture():
    """Their part within is remembered; of none, nothing is."""
    memory = LabelMemory(0.1)
    labels = make_labels([[-5, 40, 10, 60], [110, 0, 120, 9]], scores=[0.5, 0.5])
    assert see(memory, views(PLAIN), labels) == [0.5, 0.5]
    assert remembered(memory) == [([0, 40, 10, 50], 0, 0.5)]


def test_at_most_so_many():
    memory = LabelMemory(0.1)
    number = MOST_REMEMBERED + 20
    boxes = [
        [10 * (i % 10), 4 * (i // 10), 10 * (i % 10) + 9, 4 * (i // 10) + 3] for i in range(120)
    ]
    see(memory, views(PLAIN), make_labels(boxes, scores=[(i + 1) / 200 for i in range(number)]))
    (rows,) = memory.remembered.values()
    assert rows[:, 5].tolist() == pytest.approx([i / 200 for i in range(number, 20, -1)])


def test_without_frames():
    images = TwoViews(torch.zeros(2, 3, 8, 8), [(8, 8)] * 2, [False], [None])
    memory = LabelMemory(0.1)
    for ask in (lambda: memory.frozen(images), lambda: memory.compare(make_labels([]), images)):
        with pytest.raises(InputError, match=r"lack their 'image_id' or 'frame': .*FrameMapper"):
            ask()


def test_processes_exchange_what_they_saw(monkeypatch):
    """All end with the same, of an image that two had with the last one's."""
    both = [LabelMemory(0.1), LabelMemory(0.1)]
    seen = []
    for memory, ids in zip(both, ([1, 2], [3, 1]), strict=True):
        labels = make_labels([[0, 0, 9, ids[0]], [0, 0, 9, ids[1]]], images=[0, 1])
        seen.append(memory.compare(labels, views(PLAIN, PLAIN, ids=ids))[1])
    monkeypatch.setattr(freezing.comm, "all_gather", lambda _: seen)
    for memory, own in zip(both, seen, strict=True):
        memory.remember(own)
    heights = [[box[3] for box, _, _ in remembered(memory)] for memory in both]
    assert heights == [[2, 3, 1]] * 2


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.memory = LabelMemory(0.1)


@pytest.mark.parametrize("checkpointer", [Checkpointer, DetectionCheckpointer])
@pytest.mark.parametrize("kinds", [[], [PLAIN], [PLAIN, DOUBLE]])
def test_checkpoints(tmp_path, checkpointer, kinds):
    """To the bit, also by detectron2's own class."""
    model, restored = Model(), Model()
    if kinds:
        labels = make_labels([[0.1, 0, 9, 9]] * 2 + [[0, 0, 7, 9]], images=[0, 0, len(kinds) - 1])
        see(model.memory, views(*kinds, ids=[-5, "a"][: len(kinds)]), labels)
    checkpointer(model, str(tmp_path)).save("model")
    checkpointer(restored, str(tmp_path)).load(str(tmp_path / "model.pth"))
    expected, found = model.memory.remembered, restored.memory.remembered
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], rows) for key, rows in expected.items())
    assert deepcopy(model).load_state_dict(restored.state_dict()).missing_keys == []


def test_reset():
    memory = LabelMemory(0.1)
    see(memory, views(PLAIN), make_labels([[0, 0, 9, 9]]))
    memory.reset()
    assert memory.remembered == {}
    assert memory.state_dict() == {}
