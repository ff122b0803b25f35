"""The finished runs of a study in one file."""

import json
import lzma
import shutil
import textwrap
from pathlib import Path

import pytest

from comining.errors import InputError
from comining.studies import archive
from comining.studies.archive import ARCHIVE, find_finished, pack, read_archive
from comining.studies.cells import read_record, write_record
from comining.studies.report import report
from comining.studies.results import read_runs
from comining.studies.runner import run_cells
from comining.studies.unchanged import check_unchanged

WELL = (str(Path(__file__).parent / "fake_train.py"), "well")
ROOT = Path(__file__).parents[2]
TABLES = ("table.md", "table.csv", "runs.csv")


@pytest.fixture
def plan(study):
    """Of four cells: two methods, seeds 0 and 1."""
    return study(protocols={"full": {}}, controls=["plain"])


@pytest.fixture
def output(plan, tmp_path):
    """The folder of the study, in which all of it has run."""
    folder = tmp_path / "out"
    assert run_cells(plan.cells, folder, 2, WELL) == []
    return folder


def keep_only_archive(output):
    shutil.rmtree(output / "full")
    assert [path.name for path in output.iterdir() if path.name != ".lock"] == [ARCHIVE]


def lines_of(output):
    with lzma.open(output / ARCHIVE, "rt") as file:
        return [json.loads(line) for line in file]


def test_archive_does_in_place_of_the_folders(plan, output, capsys):
    report(plan, output)
    before = {name: (output / name).read_bytes() for name in TABLES}
    for path in output.glob("*.*"):
        if path.is_file():
            path.unlink()
    assert pack(plan.cells, output) == output / ARCHIVE
    keep_only_archive(output)
    report(plan, output)
    assert {name: (output / name).read_bytes() for name in TABLES} == before
    capsys.readouterr()
    assert run_cells(plan.cells, output, 1, WELL) == []
    assert capsys.readouterr().out == "4/4 cells are finished\n"
    assert not (output / "full").exists()


def test_nothing_that_was_logged_is_lost(plan, output):
    """Not even what a resumed training logged anew, or that had no value."""
    logged = [
        {"iteration": 19, "total_loss": 0.1, "bbox/APl": float("nan")},
        {"iteration": 39, "total_loss": 1 / 3},
        {"iteration": 19, "total_loss": 2.5e-300, "lr": 1},
    ]
    folder = output / plan.cells[0].name
    text = "".join(json.dumps(line) + "\n" for line in logged)
    (folder / "metrics.json").write_text(text)
    results = {"bbox": {"AP": 12.3456789012345678, "AP50": None, "AP75": 1.0}, "more": [1]}
    (folder / "results.json").write_text(json.dumps(results))
    pack(plan.cells, output)
    run = lines_of(output)[0]
    assert run["name"] == "full/plain/seed0"
    assert "".join(json.dumps(line) + "\n" for line in run["metrics"]) == text
    assert run["results"] == results
    assert run["record"] == json.loads((folder / "cell.json").read_text())


def test_study_goes_on_from_an_archive(plan, study, output, capsys):
    """More seeds, fewer methods: what is archived stays, what is new is added."""
    pack(plan.cells, output)
    keep_only_archive(output)
    more = study(
        protocols={"full": {}},
        methods={"plain": {"MODEL.META_ARCHITECTURE": "RetinaNet"}},
        seeds=[2, 1],
    )
    assert run_cells(more.cells, output, 1, WELL) == []
    assert capsys.readouterr().out.startswith("1/2 cells are finished")
    assert [run.seed for run in read_runs(more.cells, output)] == [2, 1]
    pack(more.cells, output)
    shutil.rmtree(output / "full")
    assert [run["name"] for run in lines_of(output)] == [
        *(cell.name for cell in plan.cells), "full/plain/seed2"
    ]  # fmt: skip
    assert len(read_runs(plan.cells, output)) == 4


def test_run_in_a_folder_replaces_the_archived_one_once_it_is_finished(plan, output):
    pack(plan.cells, output)
    cell = plan.cells[0]
    folder = output / cell.name
    record = read_record(folder)
    (folder / "results.json").write_text('{"bbox": {"AP": 50.0, "AP50": 60.0, "AP75": 40.0}}')
    write_record(folder, record._replace(finished=False))
    assert find_finished(cell, output).where == f"{output / ARCHIVE}: full/plain/seed0"
    assert read_runs([cell], output)[0].values["AP"] == 10
    write_record(folder, record)
    assert find_finished(cell, output).where == str(folder)
    assert read_runs([cell], output)[0].values["AP"] == 50
    pack(plan.cells, output)
    keep_only_archive(output)
    assert read_runs([cell], output)[0].values["AP"] == 50
    assert len(lines_of(output)) == 4


def test_unfinished_runs_are_not_packed(plan, output):
    folder = output / plan.cells[1].name
    write_record(folder, read_record(folder)._replace(finished=False))
    pack(plan.cells, output)
    assert "full/comining/seed0" not in [run["name"] for run in lines_of(output)]
    assert len(lines_of(output)) == 3


def test_changed_settings_of_archived_runs_stop_the_study(plan, study, output):
    pack(plan.cells, output)
    keep_only_archive(output)
    longer = study(protocols={"full": {"SOLVER.MAX_ITER": 30}})
    where = output / ARCHIVE
    with pytest.raises(
        InputError, match=rf"{where}: full/plain/seed0 \(SOLVER.MAX_ITER 20, now 30\);.*Move these"
    ):
        run_cells(longer.cells, output, 1, WELL)
    check_unchanged(plan.cells, output)


def damage(path, how):
    content = path.read_bytes()
    texts = {"no JSON": "{", "no run": "[]", "no record": '{"name": "a"}', "no text": "\xff"}
    if how == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif how == "not compressed":
        path.write_text("{}\n")
    else:
        path.write_bytes(lzma.compress(lzma.decompress(content) + texts[how].encode("latin-1")))


@pytest.mark.parametrize(
    "how", ["cut off", "not compressed", "no JSON", "no run", "no record", "no text"]
)
def test_damaged_archive_is_named_and_left_alone(how, plan, output):
    path = pack(plan.cells, output)
    damage(path, how)
    damaged = path.read_bytes()
    shutil.rmtree(output / "full")
    for use in (read_runs, check_unchanged, pack):
        with pytest.raises(InputError, match=rf"^{path} can't be read \(.*take it from a copy"):
            use(plan.cells, output)
    assert path.read_bytes() == damaged


def test_damaged_results_in_an_archive_are_named(plan, output):
    path = pack(plan.cells, output)
    shutil.rmtree(output / "full")
    lines = lines_of(output)
    lines[2]["results"] = {"bbox": {}}
    path.write_bytes(lzma.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    with pytest.raises(InputError, match=rf"{path}: {lines[2]['name']} has damaged results"):
        read_runs(plan.cells, output)


def test_damaged_results_are_not_packed(plan, output):
    folder = output / plan.cells[3].name
    (folder / "results.json").write_text("{")
    with pytest.raises(InputError, match=rf"{folder} has damaged results"):
        pack(plan.cells, output)
    assert list(output.glob("*runs*")) == []
    assert list(read_archive(output / ARCHIVE)) == []


def lines_in_the_description():
    """Of the archive, which read it without the project."""
    _, _, lines = archive.__doc__.partition("read the file:\n")
    return textwrap.dedent(lines[: lines.index("\nA run that")]).strip()


def test_lines_that_read_it_without_the_project(plan, output, monkeypatch, capsys):
    folder = output / plan.cells[0].name
    (folder / "metrics.json").write_text('{"iteration": 19, "total_loss": 1.5}\n')
    pack(plan.cells, output)
    monkeypatch.chdir(output)
    exec(lines_in_the_description(), {})
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"full/plain/seed0 0 {read_record(folder).code} 10.0 {{19: 1.5}}"
    assert len(others) == 3


def test_readme_of_the_records_shows_the_same_lines():
    page = (ROOT / "docs" / "studies" / "README.md").read_text()
    shown = page.replace("docs/studies/scenes/runs.jsonl.xz", "runs.jsonl.xz")
    assert textwrap.indent(lines_in_the_description(), "    ") in shown


@pytest.mark.usefixtures("_own_signals")
def test_command_packs(study_file, plan, output, command_line):
    file = study_file(protocols={"full": {}}, controls=["plain"])
    done = command_line("study", file, "--output", output, "--report-only", "--pack")
    assert done.exit_code == 0
    assert "4 of 4 runs are finished" in done.stdout
    assert f"{output / ARCHIVE}\nholds the finished runs" in done.stdout
    assert len(lines_of(output)) == 4
    assert all((output / cell.name / "results.json").exists() for cell in plan.cells)
