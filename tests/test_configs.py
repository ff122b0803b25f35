"""Every config file loads; the published ones say what the paper says."""

from pathlib import Path

import pytest
import torch
import yaml
from detectron2.config import get_cfg, instantiate
from detectron2.data import DatasetMapper
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from comining import (
    CoMiningFCOS,
    CoMiningGeneralizedRCNN,
    CoMiningRetinaNet,
    add_comining_config,
)
from comining.engine import Trainer, load_lazy_config
from comining.engine.lazy import SETTINGS, common_settings, trainer_of
from tests.modeling.helpers import two_items

CONFIGS = Path(__file__).parents[1] / "configs"
LEAVES = sorted(p.stem for p in CONFIGS.glob("*.yaml") if not p.stem.startswith("Base-"))
BASELINES = [name for name in LEAVES if name.startswith("baseline_")]
LAZY = sorted(p.stem for p in (CONFIGS / "lazy").glob("*.py"))
SMALL = ["demo", "fcos_demo", "rcnn_demo", "trees_full", "trees_hard", "trees_extreme"]

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
    assert ours in ("CoMiningRetinaNet", "CoMiningFCOS", "CoMiningGeneralizedRCNN")
    assert baseline["MODEL.META_ARCHITECTURE"] == ours.removeprefix("CoMining")


def test_every_run_has_an_output_folder_of_its_own():
    folders = {name: load(name).OUTPUT_DIR for name in LEAVES}
    assert folders == {name: f"./output/{name}" for name in LEAVES}


@pytest.mark.parametrize("name", SMALL)
def test_small_config_builds(name):
    cfg = load(name)
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    detectors = {"fcos": CoMiningFCOS, "rcnn": CoMiningGeneralizedRCNN}
    assert isinstance(model, detectors.get(name.split("_")[0], CoMiningRetinaNet))
    assert sum(p.numel() for p in model.parameters()) < 13e6


class TestLazy:
    """Each config in configs/lazy says what the YAML config of its name says."""

    def both(self, name):
        """The YAML config with its trainer, and what stands for them in the Lazy one."""
        path = str(CONFIGS / "lazy" / f"{name}.py")
        config = load_lazy_config(path, ["train.device=cpu"])
        cfg = load(name)
        cfg.MODEL.DEVICE = "cpu"
        return (cfg, Trainer), (common_settings(config, path), trainer_of(config))

    def test_each_detector_is_there_with_its_baseline(self):
        assert set(LAZY) <= set(LEAVES)
        for name in (
            "hard_R50",
            "fcos_hard_R50",
            "rcnn_hard_R50",
            "demo",
            "fcos_demo",
            "rcnn_demo",
        ):
            assert {name, f"baseline_{name}"} <= set(LAZY)

    @pytest.mark.parametrize("name", LAZY)
    def test_settings(self, name):
        (cfg, _), (ours, trainer) = self.both(name)
        assert Path(ours.OUTPUT_DIR) == Path("output", "lazy", name)
        for key in set(SETTINGS.values()) - {"OUTPUT_DIR"}:
            assert plain(value(ours, key)) == plain(value(cfg, key)), key
        assert trainer.lazy.model._target_.__name__ == cfg.MODEL.META_ARCHITECTURE
        loaders = trainer.lazy.dataloader
        assert loaders.train.total_batch_size == cfg.SOLVER.IMS_PER_BATCH
        assert loaders.train.max_unreadable == cfg.DATALOADER.MAX_UNREADABLE
        assert loaders.train.num_workers == loaders.test.num_workers == cfg.DATALOADER.NUM_WORKERS
        for mapper, is_train in ((loaders.train.mapper.mapper, True), (loaders.test.mapper, False)):
            mappers = instantiate(mapper), DatasetMapper(cfg, is_train=is_train)
            assert mappers[0].image_format == mappers[1].image_format
            assert mappers[0].is_train == mappers[1].is_train == is_train
            augmentations = [
                [(type(x), {k: plain(v) for k, v in vars(x).items()}) for x in y.augmentations.augs]
                for y in mappers
            ]
            assert augmentations[0] == augmentations[1]

    @pytest.mark.parametrize("name", ["baseline_demo", "baseline_fcos_demo"])
    def test_baselines_ignore_the_same(self, name):
        losses = []
        for cfg, trainer in self.both(name):
            torch.manual_seed(0)
            model = trainer.build_model(cfg).train()
            items = two_items()
            for item in items:  # all of the image but its annotations
                ignored = Instances(item["instances"].image_size)
                height, width = item["instances"].image_size
                ignored.gt_boxes = Boxes(torch.tensor([[0.0, 0.0, width, height]]))
                ignored.gt_classes = torch.tensor([-1])
                item["ignored"] = ignored
            with EventStorage():
                losses.append({key: loss.item() for key, loss in model(items).items()})
        assert losses[0] == losses[1]
        assert all(losses[0].values())

    @pytest.mark.parametrize(
        "name", ["demo", "fcos_demo", "rcnn_demo", "hard_R50", "fcos_hard_R50", "rcnn_hard_R50"]
    )
    def test_losses_optimizer_and_schedule(self, name):
        found, schedules = [], []
        for cfg, trainer in self.both(name):
            cfg.SEED = 3
            if trainer is not Trainer:
                trainer.lazy.train.seed = 3
            torch.manual_seed(0)
            model = trainer.build_model(cfg).train()
            with EventStorage():
                losses = {key: loss.item() for key, loss in model(two_items()).items()}
            assert all(losses.values())
            optimizer = trainer.build_optimizer(cfg, model)
            scheduler = trainer.build_lr_scheduler(cfg, optimizer)
            names = {parameter: key for key, parameter in model.named_parameters()}
            # "foreach" is how, not what is computed.
            of_parameters = {
                names[parameter]: {k: v for k, v in group.items() if k not in ("params", "foreach")}
                for group in optimizer.param_groups
                for parameter in group["params"]
            }
            rates = []
            for share in (0, 0.001, 0.01, 0.04, 0.1, 0.65, 0.7, 0.85, 0.9, 0.999):
                scheduler.last_epoch = share * cfg.SOLVER.MAX_ITER
                rates.append(scheduler.get_lr()[0])
            mining = {k: v for k, v in vars(model.method).items() if k != "adaptive"}
            if "adaptive" in model.method.modules():
                mining["shares"] = model.adaptive.precision, model.adaptive.object_precision
            kind = type(model.method).__name__
            found.append((losses, type(optimizer).__name__, of_parameters, kind, mining))
            schedules.append(rates)
        assert found[0] == found[1]
        assert schedules[0] == pytest.approx(schedules[1])


def plain(item):
    return list(item) if isinstance(item, tuple) else item
