"""Every config file loads; the published ones say what the paper says."""

from pathlib import Path

import pytest
import yaml
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from comining import CoMiningFCOS, CoMiningRetinaNet, add_comining_config

CONFIGS = Path(__file__).parents[1] / "configs"
LEAVES = sorted(p.stem for p in CONFIGS.glob("*.yaml") if not p.stem.startswith("Base-"))
BASELINES = [name for name in LEAVES if name.startswith("baseline_")]
SMALL = ["demo", "fcos_demo", "trees_full", "trees_hard", "trees_extreme"]

#: Data set, depth of the backbone, pseudo-score threshold.
PUBLISHED = {
    "full_R50": ("coco_2017_train_full", 50, 0.6),
    "easy_R50": ("coco_2017_train_easy", 50, 0.6),
    "hard_R50": ("coco_2017_train_hard", 50, 0.6),
    "extreme_R50": ("coco_2017_train_extreme", 50, 0.5),
    "miss50p_R101": ("coco_missing_50p", 101, 0.6),
    "fcos_full_R50": ("coco_2017_train_full", 50, 0.5),
    "fcos_easy_R50": ("coco_2017_train_easy", 50, 0.5),
    "fcos_hard_R50": ("coco_2017_train_hard", 50, 0.5),
    "fcos_extreme_R50": ("coco_2017_train_extreme", 50, 0.5),
    "fcos_miss50p_R50": ("coco_missing_50p", 50, 0.5),
}

OCTAVES = [[size * 2 ** (i / 3) for i in range(3)] for size in (32, 64, 128, 256, 512)]

PAPER = {
    "MODEL.META_ARCHITECTURE": "CoMiningRetinaNet",
    "MODEL.MASK_ON": False,
    "MODEL.COMINING.IOU_THRESH": 0.4,
    "MODEL.COMINING.VIEW.JITTER_PROB": 0.8,
    "MODEL.COMINING.VIEW.BRIGHTNESS": 0.8,
    "MODEL.COMINING.VIEW.CONTRAST": 0.8,
    "MODEL.COMINING.VIEW.SATURATION": 0.8,
    "MODEL.COMINING.VIEW.HUE": 0.2,
    "MODEL.COMINING.VIEW.FLIP_PROB": 0.0,
    # The backbone, as its MSRA ImageNet weights want it.
    "MODEL.BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
    "MODEL.BACKBONE.FREEZE_AT": 2,
    "MODEL.RESNETS.OUT_FEATURES": ["res3", "res4", "res5"],
    "MODEL.RESNETS.NORM": "FrozenBN",
    "MODEL.RESNETS.STRIDE_IN_1X1": True,
    "MODEL.PIXEL_MEAN": [103.53, 116.28, 123.675],
    "MODEL.PIXEL_STD": [1.0, 1.0, 1.0],
    "MODEL.FPN.IN_FEATURES": ["res3", "res4", "res5"],
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "",
    # Anchors and their labels.
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "MODEL.RETINANET.IOU_THRESHOLDS": [0.4, 0.5],
    "MODEL.RETINANET.IOU_LABELS": [0, -1, 1],
    # The head and its losses.
    "MODEL.RETINANET.NUM_CLASSES": 80,
    "MODEL.RETINANET.IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
    "MODEL.RETINANET.NUM_CONVS": 4,
    "MODEL.RETINANET.NORM": "",
    "MODEL.RETINANET.PRIOR_PROB": 0.01,
    "MODEL.RETINANET.FOCAL_LOSS_ALPHA": 0.25,
    "MODEL.RETINANET.FOCAL_LOSS_GAMMA": 2.0,
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "smooth_l1",
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.1,
    "MODEL.RETINANET.BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),
    # Inference.
    "MODEL.RETINANET.SCORE_THRESH_TEST": 0.05,
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST": 1000,
    "MODEL.RETINANET.NMS_THRESH_TEST": 0.5,
    "TEST.DETECTIONS_PER_IMAGE": 100,
    "DATASETS.TEST": ["coco_2017_val"],
    # The schedule.
    "SOLVER.IMS_PER_BATCH": 16,
    "SOLVER.OPTIMIZER": "SGD",
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.NESTEROV": False,
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.WEIGHT_DECAY": 0.0001,
    "SOLVER.BIAS_LR_FACTOR": 1.0,
    "SOLVER.MAX_ITER": 90000,
    "SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "SOLVER.STEPS": [60000, 80000],
    "SOLVER.GAMMA": 0.1,
    "SOLVER.WARMUP_METHOD": "linear",
    "SOLVER.WARMUP_ITERS": 1000,
    "SOLVER.WARMUP_FACTOR": 0.001,
    "SOLVER.CLIP_GRADIENTS.ENABLED": False,
    "SOLVER.AMP.ENABLED": False,
    # The input.
    "INPUT.FORMAT": "BGR",
    "INPUT.MIN_SIZE_TRAIN": [800],
    "INPUT.MAX_SIZE_TRAIN": 1333,
    "INPUT.MIN_SIZE_TEST": 800,
    "INPUT.MAX_SIZE_TEST": 1333,
    "INPUT.RANDOM_FLIP": "horizontal",
    "INPUT.VERTICAL_FLIP": False,
    "INPUT.CROP.ENABLED": False,
}

#: Where FCOS differs from RetinaNet.
FCOS = {
    "MODEL.META_ARCHITECTURE": "CoMiningFCOS",
    "MODEL.BACKBONE.NAME": "build_fcos_resnet_fpn_p5_backbone",
    "MODEL.FCOS.NUM_CLASSES": 80,
    "MODEL.FCOS.IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
    "MODEL.FCOS.NUM_CONVS": 4,
    "MODEL.FCOS.NORM": "GN",
    "MODEL.FCOS.PRIOR_PROB": 0.01,
    "MODEL.FCOS.CENTER_SAMPLING_RADIUS": 1.5,
    "MODEL.FCOS.FOCAL_LOSS_ALPHA": 0.25,
    "MODEL.FCOS.FOCAL_LOSS_GAMMA": 2.0,
    "MODEL.FCOS.SCORE_THRESH_TEST": 0.05,
    "MODEL.FCOS.TOPK_CANDIDATES_TEST": 1000,
    "MODEL.FCOS.NMS_THRESH_TEST": 0.6,
}


def load(name):
    cfg = get_cfg()
    add_comining_config(cfg)
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"), allow_unsafe=False)
    return cfg


def value(cfg, key):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def settings(cfg, prefix=""):
    """The config as a flat dict."""
    flat = {}
    for key, item in cfg.items():
        nested = isinstance(item, dict)
        flat.update(settings(item, f"{prefix}{key}.") if nested else {prefix + key: item})
    return flat


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_config_loads_safely(path):
    yaml.safe_load(path.read_text())
    load(path.stem)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_config_has_the_papers_settings(name):
    cfg = load(name)
    train, depth, score_thresh = PUBLISHED[name]
    expected = {
        **PAPER,
        **(FCOS if name.startswith("fcos_") else {}),
        "DATASETS.TRAIN": [train],
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.WEIGHTS": f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl",
        "MODEL.COMINING.SCORE_THRESH": score_thresh,
    }

    def plain(item):
        return list(item) if isinstance(item, tuple) else item

    assert {key: plain(value(cfg, key)) for key in expected} == {
        key: plain(item) for key, item in expected.items()
    }
    for sizes, octaves in zip(cfg.MODEL.ANCHOR_GENERATOR.SIZES, OCTAVES, strict=True):
        assert sizes == pytest.approx(octaves, rel=1e-9)


def test_every_setting_of_the_paper_has_its_baseline():
    assert {f"baseline_{name}" for name in PUBLISHED} <= set(BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_differs_in_the_architecture_alone(name):
    baseline, other = settings(load(name)), settings(load(name.removeprefix("baseline_")))
    assert {key for key in other if baseline[key] != other[key]} == {
        "MODEL.META_ARCHITECTURE",
        "OUTPUT_DIR",
    }
    ours = other["MODEL.META_ARCHITECTURE"]
    assert ours in ("CoMiningRetinaNet", "CoMiningFCOS")
    assert baseline["MODEL.META_ARCHITECTURE"] == ours.removeprefix("CoMining")


def test_every_run_has_an_output_folder_of_its_own():
    folders = {name: load(name).OUTPUT_DIR for name in LEAVES}
    assert folders == {name: f"./output/{name}" for name in LEAVES}


@pytest.mark.parametrize("name", SMALL)
def test_small_config_builds(name):
    cfg = load(name)
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    assert isinstance(model, CoMiningFCOS if name.startswith("fcos_") else CoMiningRetinaNet)
    assert sum(p.numel() for p in model.parameters()) < 13e6
