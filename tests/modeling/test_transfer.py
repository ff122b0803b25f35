import pytest
import torch
from detectron2.structures import Boxes, Instances

from comining.modeling.transfer import move, move_batch
from tests.modeling.helpers import items

# Tensors of this device have shapes but no values; no machine lacks it.
META = torch.device("meta")


@pytest.fixture
def copies(monkeypatch):
    """The tensors that were copied to another device."""
    copied = []
    to = torch.Tensor.to

    def remember(tensor, *args, **kwargs):
        if META in args:
            copied.append(tensor)
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", remember)
    return copied


def test_shapes_and_types_stay():
    tensors = [torch.zeros(2, 3), torch.zeros(0, 4), torch.zeros(5, dtype=torch.int64)]
    moved = move(tensors, META)
    assert [x.device for x in moved] == [META] * 3
    assert [(x.shape, x.dtype) for x in moved] == [(x.shape, x.dtype) for x in tensors]


def test_values_stay():
    first, second = torch.arange(6).view(2, 3), torch.arange(10, 14).view(4, 1)
    # As if the tensors were elsewhere: packed, copied, unpacked.
    moved = move([first, second], torch.device("cpu", 0))
    assert moved[0].tolist() == first.tolist()
    assert moved[1].tolist() == second.tolist()


def test_what_is_there_is_left_alone():
    tensor = torch.zeros(3)
    assert move([tensor], torch.device("cpu"))[0] is tensor


@pytest.mark.parametrize("num_images", [1, 4])
def test_the_number_of_copies_does_not_depend_on_the_batch(num_images, copies):
    batch = items(*[((64, 32 + 32 * i), [[1, 2, 30, 40]] * i, [0] * i) for i in range(num_images)])
    for item in batch:
        item["image_aug"] = item["image"].float()
        item["withheld"] = item["instances"][:0]
    batch.append({**batch[0], "withheld": None})  # not known
    moved = move_batch(batch, META)
    assert len(copies) == 4  # images, second views, boxes, classes
    for item, before in zip(moved, batch, strict=True):
        assert item["image"].shape == before["image"].shape
        assert item["image_aug"].dtype == torch.float32
        assert item["instances"].gt_boxes.tensor.device == META
        if before["withheld"] is not None:
            assert item["withheld"].gt_classes.device == META
        assert item["instances"].image_size == before["instances"].image_size
        assert before["image"].device.type == "cpu"


def test_some_items_bring_a_second_view():
    batch = items(((64, 64), [], []), ((64, 64), [], []))
    batch[1]["image_aug"] = batch[1]["image"]
    first, second = move_batch(batch, META)
    assert "image_aug" not in first
    assert second["image_aug"].device == META


def test_annotations_keep_boxes_and_classes():
    instances = Instances((64, 64), gt_boxes=Boxes(torch.ones(1, 4)), gt_classes=torch.tensor([2]))
    instances.gt_masks = torch.zeros(1, 64, 64)
    (item,) = move_batch([{"image": torch.zeros(3, 64, 64), "instances": instances}], META)
    assert set(item["instances"].get_fields()) == {"gt_boxes", "gt_classes"}
