"""Data sets for sparsely annotated detection.

Importing the package registers the paper's data sets under ``$DETECTRON2_DATASETS``.
"""

from .datasets import ROOT as _ROOT
from .datasets import (
    check_datasets,
    check_num_classes,
    check_same_categories,
    check_withheld,
    register_coco,
    register_from_config,
)
from .datasets import register_sparse_coco as _register_sparse_coco
from .frame_mapper import FrameMapper
from .known_mapper import KnownMapper
from .loader import TrainLoader, build_train_loader, load_datasets

__all__ = [
    "FrameMapper",
    "KnownMapper",
    "TrainLoader",
    "build_train_loader",
    "check_datasets",
    "check_num_classes",
    "check_same_categories",
    "check_withheld",
    "load_datasets",
    "register_coco",
    "register_from_config",
]

_register_sparse_coco(_ROOT)
