"""From the command line to a configuration, or to a message."""

import socket
import sys
import urllib.error

import pytest
import torch
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from comining.engine import load_config, setup
from comining.engine.checkpoint import last_checkpoint
from comining.engine.setup import check_weights
from comining.errors import InputError


def arguments(overrides, *options):
    return default_argument_parser().parse_args([*options, *overrides])


def test_defaults_file_and_overrides_in_this_order(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("VERSION: 2\nSOLVER: {BASE_LR: 0.5, MAX_ITER: 7}\n")
    cfg = load_config(str(file), ["SOLVER.MAX_ITER", "9"])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.MOMENTUM) == (0.5, 9, 0.9)


def test_base_is_relative_to_its_file(tmp_path):
    (tmp_path / "base.yaml").write_text("VERSION: 2\nSEED: 5\n")
    (tmp_path / "leaf.yaml").write_text("_BASE_: base.yaml\n")
    assert load_config(str(tmp_path / "leaf.yaml")).SEED == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("MODEL: {COMINING: {SCORE_TRESH: 0.5}}", "SCORE_TRESH"),
        ("MODEL: {COMINING: 3}", "COMINING"),
        ("SOLVER: {MAX_ITER: many}", "MAX_ITER"),
        ("SOLVER: {MAX_ITER: [}", "line 1"),
        ("SOLVER: !!python/tuple [1]", "python/tuple"),
        ("_BASE_: gone.yaml", r"gone\.yaml"),
        ("_BASE_: my.yaml", "_BASE_ files name each other"),
        ("- a\n- b", "KEY: value"),
        ("", "KEY: value"),
        ("VERSION: 3", "v3"),
    ],
)
def test_bad_config_file_is_named(content, message, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        load_config(str(file))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("base", ["configs/Base-Small.yaml", "Base-Small"])
def test_base_may_be_the_packages(base, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(f"_BASE_: {base}\nSEED: 5\n")
    cfg = load_config(str(file))
    assert (cfg.MODEL.COMINING.THRESHOLD, cfg.SEED) == ("adaptive", 5)
    own = tmp_path / base
    own.parent.mkdir(exist_ok=True)
    own.write_text("VERSION: 2\nSEED: 6\nMODEL: {COMINING: {THRESHOLD: fixed}}\n")
    assert load_config(str(file)).MODEL.COMINING.THRESHOLD == "fixed"


def test_base_that_only_the_package_has_is_told(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("_BASE_: Base-Small.yaml\n")
    with pytest.raises(InputError, match="the package has") as error:
        load_config(str(file))
    base = str(error.value).rpartition(" ")[2]
    file.write_text(f"_BASE_: {base}\n")
    assert load_config(str(file)).MODEL.COMINING.THRESHOLD == "adaptive"


def test_config_file_runs_no_code(tmp_path):
    marker = tmp_path / "marker"
    file = tmp_path / "evil.yaml"
    file.write_text(f'VERSION: 2\nOUTPUT_DIR: !!python/object/apply:os.system ["touch {marker}"]\n')
    with pytest.raises(InputError, match=r"(?s)evil\.yaml.*python/object/apply"):
        load_config(str(file))
    assert not marker.exists()


def test_base_of_a_config_file_runs_no_code(tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "evil.yaml").write_text(f'A: !!python/object/apply:os.system ["touch {marker}"]')
    (tmp_path / "leaf.yaml").write_text("_BASE_: evil.yaml\n")
    with pytest.raises(InputError, match=r"(?s)leaf\.yaml.*python/object/apply"):
        load_config(str(tmp_path / "leaf.yaml"))
    assert not marker.exists()


def test_missing_config_file():
    with pytest.raises(InputError, match=r"gone\.yaml.*does not exist"):
        load_config("gone.yaml")


def test_lazy_config_is_no_yaml_config():
    with pytest.raises(InputError, match=r"my\.py is a Lazy config, which train_net\.py alone"):
        load_config("my.py")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.MAX_ITERS", "5"], "MAX_ITERS"),
        (["SOLVER.MAX_ITER"], "pairs"),
        (["SOLVER.MAX_ITER=5"], "write SOLVER.MAX_ITER 5 in place of SOLVER.MAX_ITER=5$"),
        (["SEED", "1", "SOLVER.MAX_ITER=5"], "write SOLVER.MAX_ITER 5 "),
        (["SOLVER.MAX_ITER=5", "SEED=1"], "write SOLVER.MAX_ITER 5 "),
        (["DATASETS.TRAIN", "x"], r'takes a list: write DATASETS.TRAIN "\[x\]" in place of x'),
        (["INPUT.MIN_SIZE_TRAIN", "640"], r'write INPUT.MIN_SIZE_TRAIN "\[640\]" in place'),
        (["SOLVER.MAX_ITER", "many"], "MAX_ITER"),
        (["MODEL.COMINING.VIEW", "3"], "VIEW"),
        (["SEED.X", "1"], "SEED"),
    ],
)
def test_bad_override(overrides, message):
    with pytest.raises(InputError, match=f"(?s)^command line: .*{message}"):
        load_config("", overrides)


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("MODEL.COMINING.SCORE_THRESH", "60", 60.0),
        ("DATASETS.TRAIN", "[x, y_1]", ("x", "y_1")),
        ("DATASETS.TRAIN", "('x',)", ("x",)),
        ("DATASETS.TRAIN", "()", ()),
        (
            "DATASETS.REGISTER",
            "[[x, data/a.json, data/images]]",
            [["x", "data/a.json", "data/images"]],
        ),
        ("INPUT.MIN_SIZE_TRAIN", "[640, 800]", (640, 800)),
    ],
)
def test_words_whose_meaning_is_clear(key, word, value):
    found = load_config("", [key, word])
    for name in key.split("."):
        found = found[name]
    assert (found, type(found)) == (value, type(value))


def test_whole_number_for_another_one_in_a_file(tmp_path):
    (tmp_path / "my.yaml").write_text("VERSION: 2\nMODEL: {COMINING: {SCORE_THRESH: 1}}\n")
    found = load_config(str(tmp_path / "my.yaml")).MODEL.COMINING.SCORE_THRESH
    assert (found, type(found)) == (1.0, float)


def test_config_is_frozen_and_without_gpu_for_the_cpu(own_overrides, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = setup(arguments([*own_overrides, "MODEL.DEVICE", "cuda"]))
    assert cfg.is_frozen()
    assert cfg.MODEL.DEVICE == "cpu"


def test_several_processes_on_the_cpu_of_a_machine_with_gpus(own_overrides, monkeypatch):
    """They would communicate over the GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    with pytest.raises(InputError, match=r"MODEL\.DEVICE is cpu.* hide them"):
        setup(arguments([*own_overrides, "MODEL.DEVICE", "cpu"]))


def test_no_training_data_set_is_told():
    with pytest.raises(InputError, match=r"DATASETS\.TRAIN names no data set"):
        setup(arguments([]))


def test_training_without_iterations(own_overrides):
    with pytest.raises(InputError, match=r"SOLVER\.MAX_ITER is 0"):
        setup(arguments([*own_overrides, "SOLVER.MAX_ITER", "0"]))


def test_checkpoint_after_no_iteration(own_overrides):
    with pytest.raises(InputError, match=r"SOLVER\.CHECKPOINT_PERIOD is 0; it must be at least 1"):
        setup(arguments([*own_overrides, "SOLVER.CHECKPOINT_PERIOD", "0"]))


def test_output_folder_that_is_a_file(own_overrides, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"OUTPUT_DIR .*taken can't be made: "):
        setup(arguments([*own_overrides, "OUTPUT_DIR", str(tmp_path / "taken")]))


def test_evaluation_needs_no_training_data(own_overrides):
    overrides = [*own_overrides, "DATASETS.TRAIN", "['unknown']"]
    with pytest.raises(InputError, match="unknown"):
        setup(arguments(overrides))
    setup(arguments(overrides, "--eval-only"))
    with pytest.raises(InputError, match="unknown"):  # but what is found there needs it
        setup(arguments([*overrides, "TEST.FOUND", "True"], "--eval-only"))


def test_missing_weights_are_told_before_training(own_overrides):
    with pytest.raises(InputError, match=r"weights file gone\.pth does not exist: set MODEL\.WEIG"):
        setup(arguments([*own_overrides, "MODEL.WEIGHTS", "gone.pth"]))


def test_resumed_run_needs_no_initial_weights(own_overrides, tmp_path):
    overrides = [*own_overrides, "MODEL.WEIGHTS", "gone.pth"]
    with pytest.raises(InputError, match=r"gone\.pth"):
        setup(arguments(overrides, "--resume"))  # nothing there to resume
    (tmp_path / "output").mkdir(exist_ok=True)
    torch.save({"model": {}, "iteration": 1}, tmp_path / "output" / "model_0000001.pth")
    setup(arguments(overrides, "--resume"))


def test_evaluation_leaves_the_training_in_its_folder_to_be_resumed(
    own_overrides, monkeypatch, tmp_path
):
    """Also where torchrun would restart it."""
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    output = tmp_path / "output"
    output.mkdir()
    torch.save({"model": {}, "iteration": 1}, output / "model_0000001.pth")
    setup(arguments(own_overrides, "--eval-only"))
    assert last_checkpoint(output) == output / "model_0000001.pth"
    assert "another training" not in (output / "log.txt").read_text()


def test_resuming_after_a_run_that_was_to_begin_anew_is_asked_about(
    own_overrides, monkeypatch, tmp_path
):
    """Someone forgot --resume, stopped the run and adds it: not to lose what was there before."""
    output = tmp_path / "output"
    output.mkdir()
    torch.save({"model": {}, "iteration": 1}, output / "model_0000001.pth")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    setup(arguments(own_overrides))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    setup(arguments(own_overrides, "--resume"))  # torchrun's restart begins anew, too
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT")
    with pytest.raises(InputError, match=r"go on from them, remove the file last_checkpoint there"):
        setup(arguments(own_overrides, "--resume"))
    (output / "last_checkpoint").unlink()
    setup(arguments(own_overrides, "--resume"))
    assert last_checkpoint(output) == output / "model_0000001.pth"


def test_restart_that_is_not_counted_does_not_begin_anew(own_overrides, monkeypatch, tmp_path):
    """torchrun starts all processes anew when a machine comes, and calls it no restart."""
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    output = tmp_path / "output"
    setup(arguments(own_overrides))
    torch.save({"model": {}, "iteration": 1}, output / "model_0000001.pth")
    with pytest.raises(InputError, match=rf"^{output} holds checkpoints: give --resume to go on"):
        setup(arguments(own_overrides))
    assert last_checkpoint(output) == output / "model_0000001.pth"
    setup(arguments(own_overrides, "--resume"))


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(path):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(PathManager, "get_local_path", offline)
    address = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    with pytest.raises(InputError) as error:
        check_weights(address, "my.yaml")
    for part in (address, "can't be downloaded", "Name or service", "set MODEL.WEIGHTS", "my.yaml"):
        assert part in str(error.value)


def test_weights_at_an_address_are_fetched(monkeypatch, tmp_path):
    # What urllib gives without a network, through detectron2's own handlers.
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="can't be downloaded"):
        check_weights("http://127.0.0.1:9/model.pth", "")


def test_no_weights_and_local_weights_pass(tmp_path):
    check_weights("", "my.yaml")
    (tmp_path / "model.pth").write_bytes(b"weights")
    check_weights(str(tmp_path / "model.pth"), "my.yaml")
    check_weights(f"{tmp_path / 'model.pth'}?matching_heuristics=True", "my.yaml")


class TestSeed:
    def test_given_seed_is_used(self, own_overrides):
        assert setup(arguments([*own_overrides, "SEED", "7"])).SEED == 7

    def test_runs_without_a_seed_get_different_ones(self, own_overrides):
        overrides = [*own_overrides, "SEED", "-1"]
        first, second = setup(arguments(overrides)).SEED, setup(arguments(overrides)).SEED
        assert first != second
        assert min(first, second) >= 0

    def test_resumed_run_keeps_its_seed(self, own_overrides, tmp_path):
        (tmp_path / "output").mkdir()
        state = {"model": {}, "iteration": 1, "trainer": {"seed": 1234}}
        torch.save(state, tmp_path / "output" / "model_0000001.pth")
        overrides = [*own_overrides, "SEED", "-1"]
        assert setup(arguments(overrides, "--resume")).SEED == 1234
        assert "another training" not in (tmp_path / "output" / "log.txt").read_text()
        assert setup(arguments(overrides)).SEED != 1234
        assert (
            "the checkpoints of another training" in (tmp_path / "output" / "log.txt").read_text()
        )
        assert setup(arguments([*own_overrides, "SEED", "5"], "--resume")).SEED == 5


def test_weights_that_are_a_folder_and_the_option_that_named_them(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path} is a folder: name another with --weights$"):
        check_weights(str(tmp_path))


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys.modules[check_weights.__module__], "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/model.pth"
        with pytest.raises(InputError, match=rf"{address} can't be downloaded .*timed out"):
            check_weights(address)
    assert socket.getdefaulttimeout() is None
