"""Every config of the repository trains in mixed precision."""

import math
from functools import cache

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.engine import Trainer, load_config
from comining.engine.step import TrainStep
from comining.modeling.precision import in_single_precision
from tests.conftest import CONFIGS
from tests.gpu.fake_device import DEVICE, FakeDevice
from tests.modeling.helpers import each_detector, plain, tiny_model, two_items, with_frames

LEAVES = sorted(x.stem for x in CONFIGS.glob("*.yaml") if not x.stem.startswith("Base-"))
#: By name of the type, where it is tried; float16 needs a GPU.
DEVICES = {"float16": DEVICE, "bfloat16": "cpu"}
each_precision = pytest.mark.parametrize("dtype", DEVICES)

SHRUNK = [
    "MODEL.WEIGHTS", "",
    "MODEL.RESNETS.DEPTH", 50,
    "MODEL.RESNETS.STEM_OUT_CHANNELS", 16,
    "MODEL.RESNETS.RES2_OUT_CHANNELS", 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP", 8,
    "MODEL.FPN.OUT_CHANNELS", 32,
    "MODEL.RETINANET.NUM_CONVS", 1,
    "MODEL.RETINANET.NUM_CLASSES", 3,
    "MODEL.FCOS.NUM_CONVS", 1,
    "MODEL.FCOS.NUM_CLASSES", 3,
    # What one iteration does not look at.
    "SOLVER.MAX_ITER", 1000,
    "SOLVER.STEPS", (),
    "SOLVER.IMS_PER_BATCH", 2,
    "SOLVER.CHECKPOINT_PERIOD", 100,
    "SOLVER.CHECKPOINTS_TO_KEEP", 0,
    "MODEL.ROI_HEADS.NUM_CLASSES", 3,
    "MODEL.ROI_BOX_HEAD.FC_DIM", 32,
]  # fmt: skip


def settings_of(cfg):
    """What the training of its model looks at, as text; several configs share it."""
    used = load_config("")
    architecture = cfg.MODEL.META_ARCHITECTURE.upper()  # such as CoMiningFCOS
    for key, value in cfg.MODEL.items():
        if key not in ("RETINANET", "FCOS", "COMINING") or key in architecture:
            used.MODEL[key] = value
    used.SOLVER, used.INPUT.FORMAT, used.SEED = cfg.SOLVER, cfg.INPUT.FORMAT, 0
    return used.dump()


@cache
def train(settings, dtype):
    """One iteration.

    Args:
        settings: as `settings_of` returns them.
        dtype: the name of a type.

    Returns:
        The step, and what it has logged last.
    """
    cfg = load_config("")
    cfg.merge_from_other_cfg(cfg.load_cfg(settings))
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            # As after training, no block adds much: else they make numbers of any size.
            if name.endswith("conv3.norm.weight"):
                parameter.fill_(0.2)
        if "FCOS" in cfg.MODEL.META_ARCHITECTURE:
            model.head.bbox_pred.bias.fill_(2.0)  # else its boxes have hardly an area
    optimizer = Trainer.build_optimizer(cfg, model)
    step = TrainStep(
        model, [with_frames(two_items())], optimizer,
        device=cfg.MODEL.DEVICE, amp_dtype=getattr(torch, dtype), seed=0,
    )  # fmt: skip
    if step.grad_scaler.is_enabled():  # the usual first scale is too large for random weights
        step.grad_scaler = torch.amp.GradScaler(DEVICE, init_scale=1.0)
    step.iter = 0
    with EventStorage(0) as storage:
        step.run_step()
    return step, storage.latest()


@each_precision
@pytest.mark.parametrize("name", LEAVES)
def test_config_trains(name, dtype):
    cfg = load_config(str(CONFIGS / f"{name}.yaml"), [*SHRUNK, "MODEL.DEVICE", DEVICES[dtype]])
    with FakeDevice():
        step, logged = train(settings_of(cfg), dtype)
        losses = {key: value for key, (value, _) in logged.items() if key.startswith("loss")}
        assert (
            len(losses)
            == {
                "RetinaNet": 2,
                "FCOS": 3,
                "GeneralizedRCNN": 4,
                "CoMiningRetinaNet": 4,
                "CoMiningFCOS": 6,
                "CoMiningGeneralizedRCNN": 8,
            }[cfg.MODEL.META_ARCHITECTURE]
        )
        assert all(0 < value < math.inf for value in losses.values()), losses
        assert step.skipped_steps == 0
        gradients = [x.grad for x in step.model.parameters() if x.requires_grad]
        assert all(x is not None and x.isfinite().all().item() for x in gradients)


@each_detector
@each_precision
def test_losses_of_the_plain_detector_are_in_single_precision(dtype, detector):
    """They are those that its predictions, made in half precision, have in single precision."""
    device = DEVICES[dtype]
    with FakeDevice(), EventStorage(0):
        model = tiny_model(*plain(detector), detector=detector).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        amp_dtype = getattr(torch, dtype)
        step = TrainStep(model, [], optimizer, device=device, amp_dtype=amp_dtype)
        with step.autocast:
            losses = {name: x.item() for name, x in model(two_items()).items()}
            images = model.preprocess_image(two_items())
            features = [model.backbone(images.tensor)[name] for name in model.head_in_features]
            raw = model.head.forward(features)  # past what TrainStep has added
        assert raw[0][0].dtype == amp_dtype
        del model.loss_normalizer
        single = [[x.float() for x in kind] for kind in raw]
        annotated = [x["instances"].to(device) for x in two_items()]
        features = [x.float() for x in features]
        expected = model.forward_training(images, features, single, annotated)
        assert losses == {name: x.item() for name, x in expected.items()}


def test_half_precision_becomes_single_and_double_stays():
    kinds = [
        [torch.zeros(1, dtype=dtype)] for dtype in (torch.float16, torch.bfloat16, torch.float64)
    ]
    found = [x.dtype for (x,) in in_single_precision(kinds)]
    assert found == [torch.float32, torch.float32, torch.float64]
