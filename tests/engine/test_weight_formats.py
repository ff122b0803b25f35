"""Weights as other programs save them: taken where they are unambiguous, else refused by name."""

import argparse
import json
import pickle
import struct

import numpy as np
import pytest
import torch
from torch import nn

from comining.engine import Checkpointer
from comining.errors import InputError

WEIGHT = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
STATE = {"weight": WEIGHT, "bias": torch.tensor([5.0, 6.0])}
ARRAYS = {name: value.numpy() for name, value in STATE.items()}


def load(path, *, whole=True):
    model = nn.Linear(2, 2)
    Checkpointer(model, whole=whole).load(str(path))
    return model


def prefixed(prefix):
    return {f"{prefix}{name}": value for name, value in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {}}},
        {"model_state_dict": STATE, "loss": 0.5},
        {"model": {"model": STATE}},
        {"model": {"state_dict": STATE, "meta": {}}},
        {"model": STATE, "model_ema": STATE, "state_dict": {"weight": torch.zeros(2, 2)}},
        {"model": ARRAYS, "epoch": 3},
        {"state_dict": prefixed("model.")},
        {"model": prefixed("module.model.")},
        prefixed("_orig_mod."),
        {name: value.half() for name, value in STATE.items()},
    ],
)
def test_weights_are_found(content, tmp_path):
    path = tmp_path / "x.pth"
    if isinstance(content.get("model"), dict) and content["model"] is ARRAYS:
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    assert torch.equal(load(path).weight, WEIGHT)


@pytest.mark.parametrize(
    "content",
    [
        {"model": ARRAYS, "matching_heuristics": True},
        {"state_dict": ARRAYS},
        {"blobs": {**ARRAYS, "weight_order": b"x", "weight_momentum": ARRAYS["weight"]}},
    ],
)
def test_weights_are_found_in_a_pickle(content, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    assert torch.equal(load(tmp_path / "x.pkl").weight, WEIGHT)


def test_a_file_of_torch_may_end_in_pkl(tmp_path):
    torch.save({"model": STATE}, tmp_path / "x.pkl")
    assert torch.equal(load(tmp_path / "x.pkl").weight, WEIGHT)


def test_a_models_own_prefix_stays(tmp_path):
    model = nn.ModuleDict({"model": nn.Linear(2, 2)})
    torch.save(prefixed("model."), tmp_path / "x.pth")
    Checkpointer(model, whole=True).load(str(tmp_path / "x.pth"))
    assert torch.equal(model["model"].weight, WEIGHT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**STATE, "epoch": 3}, r"its entry 'epoch' is a int, not an ordinary tensor"),
        ({"network": STATE}, r"its entry 'network' is a dict"),
        ({"state_dict": {**STATE, "x": [1]}}, r"under 'state_dict': its entry 'x' is a list"),
        ({"model": {"model": {"a": None}}}, r"under 'model\.model': its entry 'a' is a NoneType"),
        ({"state_dict": STATE, "model_state": STATE}, r"under 'state_dict' or 'model_state'"),
        ({}, r"x\.pth holds no weights: "),
        ({"model": {}}, r"x\.pth holds no weights under 'model': "),
        ([STATE], r"x\.pth holds a list, but"),
        (WEIGHT, r"x\.pth holds a Tensor, but"),
        ({"model": {"weight": WEIGHT.to_sparse()}}, r"its entry 'weight' is a torch\.Tensor, not "),
        ({"model": {"weight": WEIGHT.to(torch.complex64)}}, r"its entry 'weight' is a torch"),
    ],
)
def test_what_is_no_weight_is_named(content, message, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path / "x.pth")
    assert str(tmp_path / "x.pth") in str(error.value)
    assert 'torch.save({"model": state_dict}, path)' in str(error.value)


@pytest.mark.parametrize("array", [np.array([[{}]], dtype=object), np.array(["a"])])
def test_arrays_of_other_things_than_numbers(array, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": {"weight": array}}))
    with pytest.raises(InputError, match=r"x\.pkl .*entry 'weight' is a numpy\.ndarray, not"):
        load(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"model": STATE, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        ({"model": STATE, "best_ap": np.float64(31.5)}, "multiarray.scalar"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_message_names_what_is_more_than_tensors(content, name, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError) as error:
        load(tmp_path / "x.pth")
    message = str(error.value)
    assert name in message
    assert 'torch.save({"model": state_dict}, path)' in message
    for advice in ("weights_only", "add_safe_globals", "\x1b", "\n"):
        assert advice not in message


def header(content):
    return struct.pack("<Q", len(content)) + content


@pytest.mark.parametrize("name", ["x.pth", "x.pkl"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty: copy or download it anew"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "run git lfs pull"),
        (b"\n <!DOCTYPE html><html></html>", "is a web page"),
        (header(json.dumps({"weight": {}}).encode()), r"safetensors\.torch\.load_file"),
    ],
)
def test_files_that_are_taken_for_weights(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"{name} .*{message}"):
        load(tmp_path / name)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_program_of_torchscript(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"x\.pth is a program, of TorchScript"):
        load(tmp_path / "x.pth")


def test_download_that_broke_off(tmp_path):
    torch.save({"model": STATE}, tmp_path / "x.pth")
    data = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"x\.pth is damaged") as error:
        load(tmp_path / "x.pth")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("state", [prefixed("other."), {"weight": torch.zeros(3), "bias": WEIGHT}])
def test_training_does_not_begin_with_weights_of_which_none_fits(state, tmp_path):
    torch.save({"model": state}, tmp_path / "x.pth")
    name = next(iter(state)).replace(".", r"\.")
    with pytest.raises(InputError, match=rf"x\.pth holds none .* this Linear: .* such as {name}"):
        load(tmp_path / "x.pth", whole=False)


def test_training_may_begin_with_some_of_the_weights(tmp_path):
    torch.save({"model": {"weight": WEIGHT}}, tmp_path / "x.pth")
    assert torch.equal(load(tmp_path / "x.pth", whole=False).weight, WEIGHT)
