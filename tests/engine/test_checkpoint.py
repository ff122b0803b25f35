"""Checkpoints: whole or not there, found again, harmless."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from comining.engine import Checkpointer
from comining.engine.checkpoint import disown_checkpoints, last_checkpoint, saved_seed
from comining.engine.safe_pickle import load_plain_pickle
from comining.errors import InputError


class Malicious:
    """When it is unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def tiny():
    return nn.Linear(2, 2)


def save(folder, iteration, name=None, **settings):
    checkpointer = Checkpointer(tiny(), str(folder), **settings)
    checkpointer.save(name or f"model_{iteration:07d}", iteration=iteration)
    return checkpointer


class TestWholeModel:
    """What is evaluated or mines needs all of its weights."""

    def load(self, folder, **weights):
        model = nn.Sequential(tiny(), nn.BatchNorm1d(2))
        state = {name: value + 1 for name, value in model.state_dict().items()} | weights
        state = {name: value for name, value in state.items() if value is not None}
        torch.save({"model": state}, folder / "x.pth")
        Checkpointer(model, whole=True).load(str(folder / "x.pth"))
        assert torch.equal(model[0].bias, state["0.bias"])

    def test_all_are_there(self, tmp_path):
        self.load(tmp_path)

    def test_statistics_and_more_may_differ(self, tmp_path):
        self.load(tmp_path, **{"1.running_mean": None, "head.weight": torch.zeros(3)})

    @pytest.mark.parametrize("weight", [None, torch.zeros(3, 2)])
    def test_one_is_missing_or_of_another_shape(self, tmp_path, weight):
        message = r"x\.pth does not hold .* this Sequential: 1 of its 4 parameters .* 0\.weight\."
        with pytest.raises(InputError, match=message):
            self.load(tmp_path, **{"0.weight": weight})

    def test_none_are_named(self):
        with pytest.raises(InputError, match=r"MODEL\.WEIGHTS is empty"):
            Checkpointer(tiny(), whole=True).load("")


class TestBeginningOfATraining:
    """What fits of another detector's weights is taken, and the rest is told."""

    def load(self, folder, *names):
        model = nn.ModuleDict({"backbone": tiny(), "head": nn.ModuleDict({"boxes": tiny()})})
        weights = {f"{name}.{x}": y + 1 for name in names for x, y in tiny().state_dict().items()}
        torch.save(weights, folder / "x.pth")
        Checkpointer(model).load(str(folder / "x.pth"))
        assert torch.equal(model["backbone"].bias, weights["backbone.bias"])

    @pytest.mark.parametrize("names", [("backbone",), ("backbone", "head.boxes")])
    def test_backbone_alone_and_everything_are_fine(self, names, tmp_path, caplog):
        self.load(tmp_path, *names)
        assert "another detector" not in caplog.text

    def test_head_of_another_detector(self, tmp_path, caplog):
        self.load(tmp_path, "backbone", "head.masks")
        assert (
            f"{tmp_path / 'x.pth'} is of another detector than this ModuleDict: the model alone "
            "has 2 parameters of a head, such as head.boxes.weight; the file alone has 2 "
            "parameters of a head, such as head.masks.weight. If that isn't meant, name the config"
        ) in caplog.text

    def test_head_with_one_part_more(self, tmp_path, caplog):
        self.load(tmp_path, "backbone", "head.boxes", "roi_heads.boxes")
        assert "ModuleDict: the file alone has 2 parameters of a head" in caplog.text


class TestSave:
    def test_is_loaded_again(self, tmp_path):
        checkpointer = save(tmp_path, 3)
        assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000003.pth"]
        other = Checkpointer(tiny(), str(tmp_path))
        assert other.resume_or_load("", resume=True)["iteration"] == 3
        assert torch.equal(other.model.weight, checkpointer.model.weight)

    def test_full_disk(self, tmp_path):
        """With a real limit, in a process of its own."""
        save(tmp_path, 1)
        code = f"""
import resource, signal
import torch
from comining.engine import Checkpointer
from comining.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Checkpointer(torch.nn.Linear(1000, 1000), {str(tmp_path)!r}).save("model_0000003", iteration=3)
except InputError as error:
    print(error)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "model_0000003.pth can't be written" in done.stdout, done.stderr
        assert "--resume" in done.stdout
        assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000001.pth"]
        assert Checkpointer(tiny(), str(tmp_path)).resume_or_load("")["iteration"] == 1

    def test_old_ones_are_removed(self, tmp_path):
        for iteration in (1, 3, 5, 7):
            save(tmp_path, iteration, keep=2)
        save(tmp_path, 7, "model_final", keep=2)
        assert sorted(p.name for p in tmp_path.glob("*.pth")) == [
            "model_0000005.pth", "model_0000007.pth", "model_final.pth",
        ]  # fmt: skip

    def test_those_of_an_earlier_training_are_the_old_ones(self, tmp_path):
        for iteration in (5, 7, 1, 3):
            save(tmp_path, iteration, keep=2)
        assert sorted(path.name for path in tmp_path.glob("*.pth")) == [
            "model_0000001.pth", "model_0000003.pth",
        ]  # fmt: skip

    def test_keep_below_0(self, tmp_path):
        with pytest.raises(InputError, match=r"CHECKPOINTS_TO_KEEP is -1; it must be 0"):
            Checkpointer(tiny(), str(tmp_path), keep=-1)

    def test_all_are_kept_by_default(self, tmp_path):
        for iteration in (1, 3, 5, 7):
            save(tmp_path, iteration)
        assert len(list(tmp_path.glob("*.pth"))) == 4


class TestLastCheckpoint:
    def test_none(self, tmp_path):
        assert last_checkpoint(tmp_path) is None
        assert last_checkpoint(tmp_path / "gone") is None
        assert not Checkpointer(tiny(), str(tmp_path)).has_checkpoint()

    def test_the_one_written_last(self, tmp_path):
        """An earlier training in the same folder came further."""
        save(tmp_path, 9, "model_final")
        save(tmp_path, 3)
        assert last_checkpoint(tmp_path).name == "model_0000003.pth"

    @pytest.mark.parametrize("content", [b"model_0000099.pth", b"", b"\xff\0", None])
    def test_newest_if_it_is_not_known(self, content, tmp_path):
        save(tmp_path, 9, "model_final")  # of an earlier training
        save(tmp_path, 1)
        save(tmp_path, 3)
        pointer = tmp_path / "last_checkpoint"
        pointer.unlink() if content is None else pointer.write_bytes(content)
        assert last_checkpoint(tmp_path) == tmp_path / "model_0000003.pth"
        assert Checkpointer(tiny(), str(tmp_path)).has_checkpoint()

    def test_pointer_leads_to_no_other_folder(self, tmp_path):
        """As where another program wrote the path of the folder that this one is a copy of."""
        for name in ("original", "copy"):
            (tmp_path / name).mkdir()
            save(tmp_path / name, 3)
            save(tmp_path / name, 1)
        pointer = tmp_path / "copy" / "last_checkpoint"
        pointer.write_text(str(tmp_path / "original" / "model_0000001.pth"))
        assert last_checkpoint(tmp_path / "copy") == tmp_path / "copy" / "model_0000001.pth"

    @pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
    def test_truncated_one_is_passed_over(self, tmp_path, share, caplog):
        save(tmp_path, 1)
        save(tmp_path, 3)
        newest = tmp_path / "model_0000003.pth"
        newest.write_bytes(newest.read_bytes()[: int(share * newest.stat().st_size)])
        assert last_checkpoint(tmp_path) == tmp_path / "model_0000001.pth"
        assert f"{newest} is damaged" in caplog.text

    @pytest.mark.parametrize("pickled", [b"\x80\x02.", b"\x80\x02K\x01", b"\x80\x02}X\x01\x00."])
    def test_damaged_one_is_passed_over(self, tmp_path, pickled, caplog):
        """The loader fails in another way each time."""
        save(tmp_path, 1)
        save(tmp_path, 3)
        newest = tmp_path / "model_0000003.pth"
        with zipfile.ZipFile(newest) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(newest, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, pickled if name.endswith("/data.pkl") else content)
        assert last_checkpoint(tmp_path) == tmp_path / "model_0000001.pth"
        assert f"{newest} is damaged" in caplog.text

    def test_newest_whatever_the_name(self, tmp_path):
        save(tmp_path, 3)
        save(tmp_path, 3, "model_final")
        (tmp_path / "last_checkpoint").unlink()
        assert last_checkpoint(tmp_path).name == "model_final.pth"
        save(tmp_path, 5)  # a longer schedule went on
        (tmp_path / "last_checkpoint").unlink()
        assert last_checkpoint(tmp_path).name == "model_0000005.pth"

    def test_latest_iteration_of_those_that_were_copied_at_once(self, tmp_path):
        for iteration in (3, 5, 1):
            save(tmp_path, iteration)
            os.utime(tmp_path / f"model_{iteration:07d}.pth", (1, 1))
        (tmp_path / "last_checkpoint").unlink()
        assert last_checkpoint(tmp_path).name == "model_0000005.pth"

    def test_weights_alone_are_no_checkpoint(self, tmp_path):
        torch.save({"model": {}}, tmp_path / "model_best.pth")
        assert last_checkpoint(tmp_path) is None

    def test_any_name(self, tmp_path):
        save(tmp_path, 3)
        save(tmp_path, 1, "best")
        assert last_checkpoint(tmp_path).name == "best.pth"

    def test_none_of_another_training(self, tmp_path):
        save(tmp_path, 3)
        disown_checkpoints(tmp_path)
        assert last_checkpoint(tmp_path) is None
        save(tmp_path, 1)
        assert last_checkpoint(tmp_path).name == "model_0000001.pth"

    def test_seed(self, tmp_path):
        torch.save({"trainer": {"seed": 4}}, tmp_path / "ours.pth")
        assert saved_seed(tmp_path / "ours.pth") == 4
        for trainer in ({}, None):
            torch.save({"model": {}, "trainer": trainer}, tmp_path / "stock.pth")
            assert saved_seed(tmp_path / "stock.pth") is None


class TestSafety:
    @pytest.mark.parametrize("name", ["weights.pth", "weights.pkl", "weights.pyth"])
    def test_nothing_in_a_file_is_run(self, name, tmp_path):
        marker = tmp_path / "marker"
        content = {"model": {"weight": Malicious(marker)}}
        if name.endswith(".pkl"):
            (tmp_path / name).write_bytes(pickle.dumps(content))
        else:
            torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=rf"{name} holds more than .*nothing in it was run"):
            Checkpointer(tiny()).load(str(tmp_path / name))
        assert not marker.exists()

    def test_malicious_checkpoint_is_not_resumed(self, tmp_path):
        save(tmp_path, 1)
        content = {"iteration": 3, "model": Malicious(tmp_path / "marker")}
        torch.save(content, tmp_path / "model_0000003.pth")
        assert last_checkpoint(tmp_path) == tmp_path / "model_0000001.pth"
        assert not (tmp_path / "marker").exists()

    @pytest.mark.parametrize("data", [b"", b"no weights", pickle.dumps([1, 2])])
    @pytest.mark.parametrize("name", ["weights.pth", "weights.pkl"])
    def test_other_files_are_named(self, data, name, tmp_path):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=str(tmp_path / name)):
            Checkpointer(tiny()).load(str(tmp_path / name))

    @pytest.mark.parametrize("protocol", [2, 4, 5])
    def test_arrays_and_plain_containers_are_read(self, protocol, tmp_path):
        content = {
            "model": {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float64(2.5)},
            "__author__": "someone",
            "list": [1, 2.5, None, True, "text", b"bytes", (3,)],
        }
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
        read = load_plain_pickle(tmp_path / "a.pkl")
        assert np.array_equal(read["model"]["a"], content["model"]["a"])
        assert read["model"]["b"] == 2.5
        assert read["list"] == content["list"]

    def test_python_2_pickle_with_old_module_names(self, tmp_path):
        """As the ImageNet weights are: arrays by numpy.core.multiarray, byte strings."""

        class Pickler(pickle._Pickler):
            def save_bytes(self, value):
                self.write(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)

            dispatch: ClassVar = {**pickle._Pickler.dispatch, bytes: save_bytes}

        written = io.BytesIO()
        Pickler(written, 2).dump({"weight": np.array([1.5, -2.0], dtype=np.float32)})
        text = written.getvalue().replace(b"numpy._core.", b"numpy.core.")
        (tmp_path / "old.pkl").write_bytes(text)
        assert load_plain_pickle(tmp_path / "old.pkl")["weight"].tolist() == [1.5, -2.0]


class TestModelZoo:
    def load(self, content, tmp_path, model=None):
        (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(content))
        model = model or tiny()
        Checkpointer(model).load(str(tmp_path / "zoo.pkl"))
        return model

    def test_detectron2_format(self, tmp_path):
        weight = np.array([[1, 2], [3, 4]], dtype=np.float32)
        content = {"model": {"weight": weight}, "__author__": "Detectron2 Model Zoo"}
        assert torch.equal(self.load(content, tmp_path).weight, torch.from_numpy(weight))

    @pytest.mark.parametrize("wrap", [lambda blobs: blobs, lambda blobs: {"blobs": blobs}])
    def test_caffe2_format_is_matched_by_name(self, wrap, tmp_path):
        weight = np.array([[1, 2], [3, 4]], dtype=np.float32)
        blobs = {"weight": weight, "weight_momentum": np.zeros((2, 2), dtype=np.float32)}
        assert torch.equal(self.load(wrap(blobs), tmp_path).weight, torch.from_numpy(weight))
        # Its name for the first convolution of a ResNet's first block.
        block = nn.ModuleDict({"res2": nn.ModuleList([nn.ModuleDict({"conv1": tiny()})])})
        loaded = self.load(wrap({"res2_0_branch2a_w": weight}), tmp_path, block).state_dict()
        assert torch.equal(loaded["res2.0.conv1.weight"], torch.from_numpy(weight))

    @pytest.mark.parametrize(
        "content", [{"blobs": 3}, {1: np.ones(2)}, {"model": 3, "__author__": "someone"}]
    )
    def test_no_weights(self, content, tmp_path):
        with pytest.raises(InputError, match=r"zoo\.pkl holds no weights by name"):
            self.load(content, tmp_path)

    @pytest.mark.parametrize(
        ("name", "content"), [("x.pyth", {"model_state": 3}), ("x.pth", {"model": 3})]
    )
    def test_no_weights_in_a_file_of_torch(self, name, content, tmp_path):
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=rf"{name} holds no weights by name"):
            Checkpointer(tiny()).load(str(tmp_path / name))

    def test_pycls_format_is_matched_by_the_end_of_the_name(self, tmp_path):
        torch.save({"model_state": {"weight": torch.ones(2, 2)}}, tmp_path / "x.pyth")
        model = nn.ModuleDict({"backbone": tiny()})
        Checkpointer(model).load(str(tmp_path / "x.pyth"))
        assert torch.equal(model["backbone"].weight, torch.ones(2, 2))

    def test_bare_state_dict(self, tmp_path):
        torch.save({"weight": torch.ones(2, 2)}, tmp_path / "x.pth")
        model = tiny()
        Checkpointer(model).load(str(tmp_path / "x.pth"))
        assert torch.equal(model.weight, torch.ones(2, 2))
