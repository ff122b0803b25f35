"""Loaders and evaluation; the data sets are named where this is used."""

from detectron2.config import LazyCall
from detectron2.data import (
    DatasetMapper,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.data import transforms as T

from comining.data import FrameMapper, KnownMapper, build_train_loader, load_datasets
from comining.evaluation import COCOBoxEvaluator

dataloader = dict(
    # Data sets to register, each [name, annotation file in COCO format, image folder].
    register=[],
    train=LazyCall(build_train_loader)(
        dataset=LazyCall(load_datasets)(names="coco_2017_train_hard", filter_empty=True),
        mapper=LazyCall(KnownMapper)(
            mapper=LazyCall(FrameMapper)(
                is_train=True,
                augmentations=[
                    LazyCall(T.ResizeShortestEdge)(
                        short_edge_length=[800], max_size=1333, sample_style="choice"
                    ),
                    LazyCall(T.RandomFlip)(horizontal=True),
                ],
                image_format="BGR",
            )
        ),
        total_batch_size=16,
        seed="${train.seed}",
        num_workers=4,
        max_unreadable=10,
    ),
    test=LazyCall(build_detection_test_loader)(
        dataset=LazyCall(get_detection_dataset_dicts)(names="coco_2017_val", filter_empty=False),
        mapper=LazyCall(DatasetMapper)(
            is_train=False,
            augmentations=[
                LazyCall(T.ResizeShortestEdge)(
                    short_edge_length=800, max_size=1333, sample_style="choice"
                )
            ],
            image_format="BGR",
        ),
        num_workers=4,
    ),
    evaluator=LazyCall(COCOBoxEvaluator)(
        dataset_name="${..test.dataset.names}",
        output_dir="${train.output_dir}/inference/${..test.dataset.names}",
    ),
)
