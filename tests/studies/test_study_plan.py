"""From a study file to cells."""

from pathlib import Path

import pytest

from comining.engine import load_config
from comining.errors import InputError
from comining.studies.plan import read_study, words

STUDIES = sorted(Path("configs/studies").glob("*.yaml"))


def test_every_combination_once_seed_by_seed(study):
    planned = study(skip=[["comining", "full"]], controls=["plain"])
    assert [cell.name for cell in planned.cells] == [
        "full/plain/seed0",
        "hard/plain/seed0",
        "hard/comining/seed0",
        "full/plain/seed1",
        "hard/plain/seed1",
        "hard/comining/seed1",
    ]
    assert planned.protocols == ("full", "hard")
    assert planned.methods == ("plain", "comining")
    assert planned.controls == ("plain",)


def test_method_and_protocol_go_before_common_settings(study):
    planned = study(
        settings={"DATASETS.TEST": ["val"], "SOLVER.MAX_ITER": 20, "SOLVER.BASE_LR": 0.5},
        methods={"slow": {"SOLVER.BASE_LR": 0.25, "config": "configs/baseline_demo.yaml"}},
        protocols={"short": {"SOLVER.MAX_ITER": 5}},
        seeds=[7],
    )
    (cell,) = planned.cells
    assert cell.config_file == "configs/baseline_demo.yaml"
    assert cell.overrides == {
        "DATASETS.TEST": ["val"],
        "SOLVER.MAX_ITER": 5,
        "SOLVER.BASE_LR": 0.25,
        "SEED": 7,
    }
    assert cell.settings["MODEL.META_ARCHITECTURE"] == "RetinaNet"  # from its config
    assert cell.settings["SOLVER.MAX_ITER"] == 5
    assert cell.settings["SEED"] == 7
    assert "OUTPUT_DIR" not in cell.settings


def test_words_mean_the_same_on_the_command_line():
    overrides = {
        "DATASETS.REGISTER": [["a", "b c.json", "d"]],
        "MODEL.WEIGHTS": "",
        "SOLVER.BASE_LR": 0.25,
        "INPUT.VERTICAL_FLIP": True,
    }
    cfg = load_config("configs/demo.yaml", words(overrides))
    assert cfg.DATASETS.REGISTER == [["a", "b c.json", "d"]]
    assert cfg.MODEL.WEIGHTS == ""
    assert cfg.SOLVER.BASE_LR == 0.25
    assert cfg.INPUT.VERTICAL_FLIP is True


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_studies_of_the_project_can_be_planned(path):
    planned = read_study(path)
    assert bool(planned.controls) == ("full" in planned.protocols)
    for cell in planned.cells:
        registered = [name for name, _, _ in cell.settings["DATASETS.REGISTER"]]
        assert set(cell.settings["DATASETS.TRAIN"]) <= set(registered)
        (tested,) = cell.settings["DATASETS.TEST"]
        assert tested in ("scenes_val", "trees_val", "cells_test", "nuclei_val")


def test_a_study_of_the_package_is_planned_away_from_a_checkout(tmp_path, monkeypatch):
    quick, demo = Path("configs/studies/quick.yaml").resolve(), Path("configs/demo.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    assert {Path(cell.config_file) for cell in read_study(quick).cells} == {demo}


def test_a_config_of_the_package_may_be_named(study):
    demo, fcos = (str(Path(f"configs/{x}.yaml").resolve()) for x in ("demo", "fcos_demo"))
    cells = study(config="demo", methods={"a": {}, "b": {"config": "fcos_demo"}}).cells
    assert {(cell.method, cell.config_file) for cell in cells} == {("a", demo), ("b", fcos)}


def test_there_are_studies():
    names = (
        "fcos known known_blood_cells methods methods_blood_cells methods_fcos methods_nuclei "
        "methods_scratch precision precision_2000 quick scenes scenes_2000 strict_2000 thresholds "
        "trees trunk_2000"
    )
    assert [path.stem for path in STUDIES] == [*names.split(), "views"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": None}, "seeds: not there"),
        ({"sedes": [1]}, "sedes: unknown; config, methods"),
        ({"seeds": None, "seed": [1]}, "seeds: not there; seed: unknown; config, methods"),
        ({"seeds": []}, "seeds must be a list of different whole numbers"),
        ({"seeds": [0, 0]}, "seeds must be a list of different whole numbers"),
        ({"seeds": [True]}, "seeds must be a list of different whole numbers"),
        ({"seeds": [-1]}, "seeds must be a list of different whole numbers"),
        ({"seeds": 3}, "seeds must be a list of different whole numbers"),
        ({"config": "demoo.yaml"}, "demoo.yaml is neither a file nor .*; near to it are demo"),
        ({"config": ["a"]}, "config must be a config file or the name of one"),
        ({"script": "gone.py"}, "script must be the path of a Python file, but is 'gone.py'"),
        ({"script": ["gone.py"]}, "script must be the path of a Python file"),
        ({"methods": {}}, "methods: there must be at least one"),
        ({"methods": ["plain"]}, "methods must consist of KEY: value lines"),
        ({"methods": {"a/b": {}}}, "methods: 'a/b' is no name"),
        ({"methods": {"..": {}}}, "methods: '..' is no name"),
        ({"methods": {1: {}}}, "methods: 1 is no name"),
        ({"methods": {"a": {"config": 1}}}, "methods: a: config must be a config file"),
        ({"methods": {"a": {"SEED": 1}}}, "methods: a: SEED is set by the study"),
        ({"settings": {"OUTPUT_DIR": "x"}}, "settings: OUTPUT_DIR is set by the study"),
        ({"methods": {"a": {"SOLVER": {"MAX_ITER": 3}}}}, "write SOLVER.NAME: value, flat"),
        ({"methods": {"a": {"SOLVER.MAXITER": 3}}}, "method a on protocol full: .*SOLVER.MAXITER"),
        ({"methods": {"a": {"SOLVER.MAX_ITER": "x"}}}, "method a on protocol full: .*MAX_ITER"),
        (
            {"methods": {"a": {"DATASETS.TRAIN": ["x"]}}},
            "DATASETS.TRAIN: set by the method a and by the protocol full",
        ),
        ({"settings": {"DATASETS.TEST": ["a", "b"]}}, r"must name one .* is \['a', 'b'\]"),
        ({"skip": ["plain"]}, r"skip has the entry plain; it must be \[a method, a protocol\]"),
        ({"skip": ["plain", "full"]}, "skip has the entry plain"),
        ({"skip": [["full", "plain"]]}, r"skip has the entry \['full', 'plain'\]"),
        ({"skip": [["plain", ["full"]]]}, "skip has the entry"),
        (
            {"skip": [[m, p] for m in ("plain", "comining") for p in ("full", "hard")]},
            "skip leaves nothing",
        ),
        ({"controls": ["gone"]}, "controls must be a list of methods"),
        ({"controls": "plain"}, "controls must be a list of methods"),
        (
            {"controls": ["plain"], "skip": [["plain", "full"]]},
            "controls: plain is not run on a protocol named full",
        ),
    ],
)
def test_mistake_in_a_study_file(changes, message, study_file):
    path = study_file(**changes)
    with pytest.raises(InputError, match=rf"^study {path}: .*{message}"):
        read_study(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "must consist of KEY: value lines"),
        ("methods: {a: {}, b: {}, a: {}}\n", r"a: there twice \(line 1\)"),
        ("config: [\n", "is no YAML file"),
        ("config: !!python/object/apply:os.getcwd []\n", "is no YAML file"),
    ],
)
def test_file_that_is_no_study(text, message, tmp_path):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_study(tmp_path / "study.yaml")


def test_missing_study_file(tmp_path):
    with pytest.raises(InputError, match=r"gone.yaml can't be read: No such file"):
        read_study(tmp_path / "gone.yaml")
