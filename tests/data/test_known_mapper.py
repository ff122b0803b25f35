"""What is known of an image, through a mapper's augmentation."""

import numpy as np
import pytest
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform, TransformList
from PIL import Image

from comining.data import KnownMapper
from comining.data.loader import TrainLoader


class TestMapper:
    def mapped(self, record, transform):
        mapper = DatasetMapper(
            is_train=True, augmentations=[transform], image_format="BGR", use_instance_mask=False
        )
        return KnownMapper(mapper)(record)

    def record(self, tmp_path, **more):
        Image.new("RGB", (20, 10)).save(tmp_path / "1.png")
        annotation = {"bbox": [0, 0, 5, 4], "bbox_mode": 1, "category_id": 1, "iscrowd": 0}
        return {
            "file_name": str(tmp_path / "1.png"),
            "image_id": 1,
            "width": 20,
            "height": 10,
            "annotations": [annotation],
            **more,
        }

    def test_takes_withheld_annotations_through_the_augmentation(self, tmp_path):
        withheld = {"bbox": [2, 1, 9, 8], "bbox_mode": 1, "category_id": 0, "iscrowd": 0}
        record = self.record(tmp_path, withheld_annotations=[withheld])
        item = self.mapped(record, HFlipTransform(20))
        assert item["instances"].gt_boxes.tensor.tolist() == [[15, 0, 20, 4]]
        assert item["instances"].gt_classes.tolist() == [1]
        assert item["withheld"].gt_boxes.tensor.tolist() == [[9, 1, 18, 9]]
        assert item["withheld"].gt_classes.tolist() == [0]
        assert record["withheld_annotations"] == [withheld]

    def test_nothing_withheld(self, tmp_path):
        item = self.mapped(self.record(tmp_path, withheld_annotations=[]), NoOpTransform())
        assert len(item["instances"]) == 1
        assert len(item["withheld"]) == 0

    def test_skipped_image(self, tmp_path):
        record = self.record(tmp_path, withheld_annotations=[])
        assert KnownMapper(lambda record: None)(record) is None

    def test_withheld_annotations_not_known(self, tmp_path):
        item = self.mapped(self.record(tmp_path), NoOpTransform())
        assert len(item["instances"]) == 1
        assert "withheld" not in item

    def test_takes_regions_through_every_augmentation(self, tmp_path):
        """Twice as large, mirrored, and the left half kept: that is the right half."""
        regions = [
            {"bbox": [12, 1, 6, 4], "category_id": None},
            {"bbox": [8, 2, 6, 6], "category_id": 1},
            {"bbox": [0, 0, 9, 10], "category_id": 0},
        ]
        record = self.record(tmp_path, ignored_regions=regions, exhaustive=[0], absent=[1])
        steps = [T.ResizeTransform(10, 20, 20, 40), HFlipTransform(40), CropTransform(0, 0, 20, 20)]
        item = self.mapped(record, TransformList(steps))
        assert item["image"].shape == (3, 20, 20)
        assert item["ignored"].gt_boxes.tensor.tolist() == [[4, 2, 16, 10], [12, 4, 20, 16]]
        assert item["ignored"].gt_classes.tolist() == [-1, 1]
        assert len(item["instances"]) == 0  # it lies in the other half
        assert (item["exhaustive"], item["absent"]) == ([0], [1])
        assert record["ignored_regions"] == regions

    def test_regions_beside_withheld_annotations(self, tmp_path):
        withheld = {"bbox": [2, 1, 9, 8], "bbox_mode": 1, "category_id": 2, "iscrowd": 0}
        region = {"bbox": [0, 0, 5, 5], "category_id": 3}
        record = self.record(tmp_path, withheld_annotations=[withheld], ignored_regions=[region])
        item = self.mapped(record, NoOpTransform())
        kinds = ("instances", "withheld", "ignored")
        assert [item[x].gt_classes.tolist() for x in kinds] == [[1], [2], [3]]

    def test_stock_mapper_hands_complete_classes_on(self, tmp_path):
        record = self.record(tmp_path, exhaustive=[0], absent=[1], ignored_regions=[])
        mapper = DatasetMapper(is_train=True, augmentations=[], image_format="BGR")
        item = mapper(record)
        assert (item["exhaustive"], item["absent"]) == ([0], [1])

    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_the_same_in_every_run(self, tmp_path, num_workers):
        record = self.record(tmp_path, ignored_regions=[{"bbox": [2, 1, 9, 8], "category_id": 0}])
        mapper = DatasetMapper(
            is_train=True,
            augmentations=[
                T.RandomFlip(),
                T.ResizeShortestEdge([8, 16, 24], sample_style="choice"),
            ],
            image_format="BGR",
        )
        loader = TrainLoader(
            [record], KnownMapper(mapper), [0] * 6, batch_size=6, seed=3, num_workers=num_workers
        )
        (batch,) = loader
        boxes = [x["ignored"].gt_boxes.tensor[0] for x in batch]
        expected = []
        for item in batch:
            height, width = item["image"].shape[1:]
            annotated = item["instances"].gt_boxes.tensor[0]
            # Mirrored or not, the region begins 2 of 20 from the annotated box's outer edge.
            is_mirrored = annotated[0] > 0
            x0, x1 = (9, 18) if is_mirrored else (2, 11)
            expected.append([x0 / 20 * width, height / 10, x1 / 20 * width, 9 / 10 * height])
        np.testing.assert_allclose(np.stack([x.numpy() for x in boxes]), expected, rtol=1e-5)
        assert len({tuple(x) for x in expected}) > 2
