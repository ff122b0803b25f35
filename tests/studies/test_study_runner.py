"""Running a study, interrupting it and going on."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from comining.errors import InputError
from comining.studies import cells, runner
from comining.studies.archive import find_finished
from comining.studies.cells import LOG, RECORD, Record, read_record, write_record
from comining.studies.progress import minutes_left
from comining.studies.results import read_runs
from comining.studies.runner import run_cells
from comining.studies.unchanged import check_unchanged
from tests.processes import Script

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUN_UNTIL = str(ROOT / "tests" / "engine" / "run_until.py")


def fake(how):
    return (str(HERE / "fake_train.py"), how)


@pytest.fixture
def script(tmp_path):
    """Writes a script that does what ``fake`` does."""

    def write(how):
        path = tmp_path / "script.py"
        path.write_text(
            f"import sys\nsys.path.insert(0, {str(HERE)!r})\n"
            f"import fake_train\nfake_train.main({how!r}, sys.argv[1:])\n"
        )
        return str(path)

    return write


def log_of(cell, output):
    return (output / cell.name / LOG).read_text()


@pytest.fixture(autouse=True)
def _not_slow(monkeypatch):
    monkeypatch.setattr(runner, "LOOK_EVERY", 0.02)


@pytest.fixture
def plan(study):
    """Of four cells: two methods, seeds 0 and 1."""
    return study(protocols={"full": {}})


def test_runs_everything_once(plan, tmp_path, capsys):
    output = tmp_path / "out"
    assert run_cells(plan.cells, output, 2, fake("well")) == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0/4 cells are finished"
    running = [f"{cell.name} is running: {output / cell.name / 'train.log'}" for cell in plan.cells]
    assert [line for line in lines if " is running: " in line] == running
    assert lines[-1].startswith("4/4 full/")
    runs = read_runs(plan.cells, output)
    assert sorted(run.values["AP"] for run in runs) == [10, 10, 11, 11]
    assert {run.values["mined_per_image"] for run in runs} == {2.0}
    assert all(0 < run.values["minutes"] < 1 for run in runs)

    before = [log_of(cell, output) for cell in plan.cells]
    assert run_cells(plan.cells, output, 2, fake("fail")) == []
    assert capsys.readouterr().out == "4/4 cells are finished\n"
    assert [log_of(cell, output) for cell in plan.cells] == before


@pytest.mark.parametrize(("jobs", "threads"), [(1, 5), (2, 2), (8, 1)])
def test_cores_are_shared(jobs, threads, plan, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runner, "_cores", lambda: 5)
    run_cells(plan.cells[:1], tmp_path, jobs, fake("well"))
    assert f"threads {threads}," in log_of(plan.cells[0], tmp_path)


def test_own_number_of_threads_is_kept(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    assert "threads 3," in log_of(plan.cells[0], tmp_path)


def gpu_of(cell, output):
    return log_of(cell, output).split(", ")[1].removeprefix("GPU ")


@pytest.mark.parametrize(
    ("visible", "jobs", "given"),
    [("4,6", 1, ["4"]), ("4,6", 2, ["4", "6"]), ("4,6", 4, ["4", "4", "6", "6"]), ("", 1, [""])],
)
def test_gpus_are_shared(visible, jobs, given, plan, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    cells = plan.cells[:jobs]
    run_cells(cells, tmp_path, jobs, fake("well"))
    assert sorted(gpu_of(cell, tmp_path) for cell in cells) == given


def test_all_gpus_are_visible_unless_some_are_hidden(plan, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    cells = plan.cells[:2]
    run_cells(cells, tmp_path, 2, fake("well"))
    assert {gpu_of(cell, tmp_path) for cell in cells} == {"0", "1"}


def test_failing_cell_does_not_stop_the_others(plan, tmp_path, capsys):
    failed = run_cells(plan.cells, tmp_path, 1, fake("fail"))
    assert [cell.name for cell in failed] == ["full/plain/seed1", "full/comining/seed1"]
    assert "2/4 full/plain/seed1 FAILED with exit code 3" in capsys.readouterr().out
    assert [run.seed for run in read_runs(plan.cells, tmp_path)] == [0, 0]
    # Tried again.
    assert run_cells(plan.cells, tmp_path, 1, fake("well")) == []
    assert len(read_runs(plan.cells, tmp_path)) == 4


def test_killed_cell_goes_on(plan, tmp_path):
    assert len(run_cells(plan.cells, tmp_path, 2, fake("die"))) == 2
    killed = plan.cells[2]
    record = read_record(tmp_path / killed.name)
    assert not record.finished
    write_record(tmp_path / killed.name, record._replace(minutes=30.0))
    assert run_cells(plan.cells, tmp_path, 2, fake("well")) == []
    first, second = log_of(killed, tmp_path).splitlines()
    assert first.endswith("resumed False")
    assert second.endswith("resumed True")
    assert 30 < read_record(tmp_path / killed.name).minutes < 31


def test_minutes_are_saved_while_a_cell_runs(plan, tmp_path, monkeypatch):
    """Or a study that is killed loses them."""
    hanging, minutes, ended = plan.cells[2], [], runner._ended

    def look(running):
        done = ended(running)
        minutes.append(read_record(tmp_path / hanging.name).minutes)
        if len(minutes) == 3:
            running[0].process.kill()
        return done

    monkeypatch.setattr(runner, "SAVE_MINUTES_EVERY", 0)
    monkeypatch.setattr(runner, "_ended", look)
    assert run_cells([hanging], tmp_path, 1, fake("hang")) == [hanging]
    assert 0 < minutes[0] < minutes[1] < minutes[2]


def test_study_that_goes_on_tells_how_long_it_will_take(plan, tmp_path, capsys):
    run_cells(plan.cells[:2], tmp_path, 1, fake("well"))
    for cell in plan.cells[:2]:
        record = read_record(tmp_path / cell.name)
        write_record(tmp_path / cell.name, record._replace(minutes=40.0))
    capsys.readouterr()
    run_cells(plan.cells, tmp_path, 1, fake("well"))
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "2/4 cells are finished; about 1 h 20 min left"


def test_minutes_of_a_training_that_a_killed_study_left_behind_count(plan, tmp_path):
    run_cells(plan.cells, tmp_path, 2, fake("die"))
    folder = tmp_path / plan.cells[2].name
    write_record(folder, read_record(folder)._replace(minutes=30.0))
    later = (folder / "cell.json").stat().st_mtime + 5 * 60
    os.utime(folder / "train.log", (later, later))
    run_cells(plan.cells, tmp_path, 2, fake("well"))
    assert 35 < read_record(folder).minutes < 36


def test_results_of_an_unfinished_training_do_not_count(plan, tmp_path):
    """Evaluations on the way write results.json, too."""
    run_cells(plan.cells, tmp_path, 2, fake("well"))
    folder = tmp_path / plan.cells[0].name
    write_record(folder, read_record(folder)._replace(finished=False))
    assert len(read_runs(plan.cells, tmp_path)) == 3
    run_cells(plan.cells, tmp_path, 2, fake("well"))
    assert len(read_runs(plan.cells, tmp_path)) == 4
    (folder / "results.json").unlink()
    assert len(read_runs(plan.cells, tmp_path)) == 3


def test_model_that_detects_nothing_has_ap_0(plan, tmp_path):
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    nothing = dict.fromkeys(("AP", "AP50", "AP75"))
    (tmp_path / plan.cells[0].name / "results.json").write_text(json.dumps({"bbox": nothing}))
    (run,) = read_runs(plan.cells, tmp_path)
    assert [run.values[key] for key in nothing] == [0, 0, 0]


@pytest.mark.parametrize(
    "text",
    ["{", "null", "[]", "{}", '{"bbox": null}', '{"bbox": {}}',
     '{"bbox": {"AP": "?", "AP50": 1, "AP75": 1}}'],
)  # fmt: skip
def test_damaged_results_are_named(text, plan, tmp_path):
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    folder = tmp_path / plan.cells[0].name
    (folder / "results.json").write_text(text)
    with pytest.raises(InputError, match=rf"{folder} has damaged results"):
        read_runs(plan.cells, tmp_path)


@pytest.mark.parametrize("text", ["{", "null", '{"settings": null}', '{"setting": {}}'])
def test_damaged_record_is_named(text, plan, tmp_path):
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    folder = tmp_path / plan.cells[0].name
    (folder / RECORD).write_text(text)
    with pytest.raises(InputError, match=rf"{folder / RECORD} is damaged .*: move {folder} away"):
        read_runs(plan.cells, tmp_path)


def test_code_of_a_run_that_goes_on_from_an_old_record_is_partly_unknown(
    plan, tmp_path, monkeypatch
):
    run_cells(plan.cells[2:3], tmp_path, 1, fake("die"))
    record = tmp_path / plan.cells[2].name / RECORD
    content = json.loads(record.read_text())
    del content["code"]
    record.write_text(json.dumps(content))
    monkeypatch.setattr(runner, "code_version", lambda: "b2")
    run_cells(plan.cells[2:3], tmp_path, 1, fake("well"))
    (run,) = read_runs(plan.cells, tmp_path)
    assert run.code == "unknown, b2"


def test_code_that_trained_is_recorded(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "code_version", lambda: "a1")
    run_cells(plan.cells, tmp_path, 2, fake("die"))
    monkeypatch.setattr(runner, "code_version", lambda: "b2+")
    run_cells(plan.cells, tmp_path, 2, fake("well"))
    assert [(run.seed, run.code) for run in read_runs(plan.cells, tmp_path)] == [
        (0, "a1"), (0, "a1"), (1, "a1, b2+"), (1, "a1, b2+")
    ]  # fmt: skip


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_version_of_the_code(tmp_path, monkeypatch):
    def git(*words):
        own = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *own, *words], cwd=tmp_path, capture_output=True, text=True)
        return done.stdout.strip()

    source = tmp_path / "comining" / "model.py"
    source.parent.mkdir()
    monkeypatch.setattr(cells, "PACKAGE", source.parent)
    version = cells.code_version
    assert version() == "unknown"
    for name, text in (("comining/model.py", "1"), ("README.md", "2")):
        (tmp_path / name).write_text(text)
    git("init")
    for path in ("comining", "README.md"):
        git("add", path)
        git("commit", "-m", path)
    assert version() == git("rev-parse", "--short", "HEAD~")  # README.md trains nothing
    (tmp_path / "README.md").write_text("3")
    assert version() == git("rev-parse", "--short", "HEAD~")
    source.write_text("4")
    assert version() == git("rev-parse", "--short", "HEAD~") + "+"
    source.write_text("1")
    (source.parent / "new.py").write_text("5")
    assert version() == git("rev-parse", "--short", "HEAD~") + "+"


def test_changed_settings_stop_the_study(plan, study, tmp_path):
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    longer = study(protocols={"full": {"SOLVER.MAX_ITER": 30}})
    folder = tmp_path / "full" / "plain" / "seed0"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        InputError, match=rf"other settings .*: {folder} \(SOLVER.MAX_ITER 20, now 30\)\. Move"
    ):
        run_cells(longer.cells, tmp_path, 1, fake("well"))
    assert sorted(tmp_path.rglob("*")) == before


def test_changed_annotations_stop_the_study(study, tmp_path):
    files = {name: tmp_path / f"{name}.json" for name in ("train", "val", "other")}
    for path in files.values():
        path.write_text("{}")
    register = [[name, str(path), "images"] for name, path in files.items()]
    settings = {"DATASETS.REGISTER": register, "DATASETS.TEST": ["val"], "SOLVER.MAX_ITER": 20}
    plan = study(protocols={"full": {"DATASETS.TRAIN": ["train"]}}, settings=settings)
    output = tmp_path / "out"
    run_cells(plan.cells, output, 2, fake("die"))  # seed 1 is to go on

    files["other"].write_text("[]")
    assert len(read_runs(plan.cells, output)) == 2
    for name in ("val", "train"):
        files[name].write_text("[]")
        with pytest.raises(
            InputError, match=rf"seed1 \(the annotation file of {name} has changed\)"
        ):
            run_cells(plan.cells, output, 1, fake("well"))
        files[name].write_text("{}")
    files["val"].unlink()
    files["train"].unlink()
    check_unchanged(plan.cells, output)
    with pytest.raises(
        InputError, match=rf"file: {files['train']} of train, {files['val']} of val; make it"
    ):
        run_cells(plan.cells, output, 1, fake("well"))
    finished = [cell for cell in plan.cells if find_finished(cell, output)]
    assert run_cells(finished, output, 1, fake("well")) == []


def test_other_script_stops_the_study(plan, study, script, tmp_path):
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    other = study(protocols={"full": {}}, script=script("well"))
    with pytest.raises(InputError, match=rf"script None, now {tmp_path / 'script.py'}\)"):
        run_cells(other.cells, tmp_path, 1, fake("well"))


def test_config_that_changes_while_the_study_runs_stops_it(study, tmp_path):
    """Else a run would be recorded under settings that it was not trained with."""
    config = tmp_path / "my.yaml"
    base = f"_BASE_: {ROOT / 'configs/demo.yaml'}\n"
    config.write_text(base)
    plan = study(config=str(config), protocols={"full": {}})
    output = tmp_path / "out"
    run_cells(plan.cells[:1], output, 1, fake("well"))
    config.write_text(f"{base}SOLVER: {{BASE_LR: 0.5}}\n")
    with pytest.raises(InputError, match=rf"{config} has changed since the study began"):
        run_cells(plan.cells, output, 1, fake("well"))
    assert len(read_runs(plan.cells, output)) == 1
    config.write_text(base)
    assert run_cells(plan.cells, output, 1, fake("well")) == []


def test_cell_that_never_began_may_change(plan, study, tmp_path):
    folder = tmp_path / plan.cells[0].name
    folder.mkdir(parents=True)
    write_record(folder, Record(plan.cells[0].settings, minutes=9.0))
    longer = study(protocols={"full": {"SOLVER.MAX_ITER": 30}})
    assert run_cells(longer.cells[:1], tmp_path, 1, fake("well")) == []
    record = read_record(folder)
    assert record.settings["SOLVER.MAX_ITER"] == 30
    assert record.minutes < 1  # nothing to go on from: the earlier minutes are lost


def test_new_key_of_the_project_changes_nothing(plan, tmp_path):
    run_cells(plan.cells[:1], tmp_path, 1, fake("well"))
    folder = tmp_path / plan.cells[0].name
    settings = dict(plan.cells[0].settings)
    del settings["DATALOADER.MAX_UNREADABLE"]
    write_record(folder, Record(settings, 1.0, True))
    assert run_cells(plan.cells[:1], tmp_path, 1, fake("fail")) == []
    del settings["SOLVER.OPTIMIZER"]  # AdamW, which is not the default
    write_record(folder, Record(settings, 1.0, True))
    with pytest.raises(InputError, match=r"SOLVER.OPTIMIZER SGD, now AdamW"):
        run_cells(plan.cells[:1], tmp_path, 1, fake("fail"))


@pytest.mark.parametrize(
    ("method", "key", "matters"),
    [
        ({"MODEL.META_ARCHITECTURE": "RetinaNet"}, "MODEL.COMINING.ADAPTIVE.PRECISION", False),
        ({"MODEL.META_ARCHITECTURE": "FCOS"}, "MODEL.COMINING.IOU_THRESH", False),
        ({"MODEL.META_ARCHITECTURE": "CoMiningFCOS"}, "MODEL.RETINANET.PRIOR_PROB", False),
        ({"MODEL.META_ARCHITECTURE": "RetinaNet"}, "MODEL.RETINANET.PRIOR_PROB", True),
        ({"MODEL.COMINING.THRESHOLD": "fixed"}, "MODEL.COMINING.ADAPTIVE.PRECISION", False),
        ({"MODEL.COMINING.THRESHOLD": "fixed"}, "MODEL.COMINING.IOU_THRESH", True),
        ({"MODEL.COMINING.THRESHOLD": "adaptive"}, "MODEL.COMINING.ADAPTIVE.PRECISION", True),
        ({"MODEL.COMINING.METHOD": "Published"}, "MODEL.COMINING.ADAPTIVE.PRECISION", False),
        ({"MODEL.COMINING.METHOD": "Adaptive"}, "MODEL.COMINING.ADAPTIVE.PRECISION", True),
    ],
)
def test_what_a_training_does_not_look_at_may_change(method, key, matters, study, tmp_path):
    cell, other = (
        study(methods={"one": {**method, key: value}}, protocols={"full": {}}).cells[0]
        for value in (0.4, 0.8)
    )
    run_cells([cell], tmp_path, 1, fake("well"))
    if not matters:
        assert run_cells([other], tmp_path, 1, fake("fail")) == []
        return
    with pytest.raises(InputError, match=rf"{key} 0\.4, now 0\.8"):
        run_cells([other], tmp_path, 1, fake("well"))


def test_data_sets_that_a_training_does_not_use_may_change(study, tmp_path):
    def cells(*entries):
        for _, file in entries:
            (tmp_path / f"{file}.json").touch()
        settings = {
            "DATASETS.REGISTER": [
                [name, str(tmp_path / f"{file}.json"), "images"] for name, file in entries
            ],
            "DATASETS.TEST": ["val"],
            "SOLVER.MAX_ITER": 20,
        }
        return study(settings=settings, protocols={"full": {"DATASETS.TRAIN": ["half"]}}).cells[:1]

    used = ("half", "a"), ("val", "b")
    output = tmp_path / "output"
    run_cells(cells(*used), output, 1, fake("well"))
    before = (output / "full/plain/seed0/results.json").stat().st_mtime_ns
    run_cells(cells(("more", "c"), *used), output, 1, fake("well"))
    assert (output / "full/plain/seed0/results.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"DATASETS.REGISTER"):
        run_cells(cells(("half", "c"), ("val", "b")), output, 1, fake("well"))


def test_folder_of_another_training(plan, tmp_path):
    folder = tmp_path / plan.cells[0].name
    folder.mkdir(parents=True)
    (folder / "model_final.pth").touch()
    with pytest.raises(InputError, match=rf"{folder} \(it has no {RECORD}\)"):
        run_cells(plan.cells, tmp_path, 1, fake("well"))


@pytest.mark.parametrize(
    ("left", "jobs", "minutes"),
    [
        # 10 - 4 for the running one, 10 and 20 for others, and (10 + 10 + 20) / 3 for a new method.
        ([("a", 4.0), ("a", 0.0), ("b", 0.0)], 1, 36),
        ([("a", 4.0), ("a", 0.0), ("b", 0.0)], 2, 18),
        ([("c", 0.0)], 1, 40 / 3),
        ([("a", 15.0)], 1, 0),
        ([], 1, 0),
    ],
)
def test_minutes_left(left, jobs, minutes):
    finished = {"a": [8.0, 12.0], "b": [20.0]}
    assert minutes_left(finished, left, jobs) == pytest.approx(minutes)


def test_nobody_knows_how_long_the_first_cell_takes():
    assert minutes_left({}, [("a", 4.0)], 1) is None


#: The command, but it is not as patient with a training that does not want to end.
IMPATIENT = """
from comining.cli import main
from comining.studies import runner
runner.TIME_TO_STOP = 1.0
main()
"""


def start(study_file, output, script):
    """Start the command, on cells of which those of seed 1 may hang."""
    path = study_file(protocols={"full": {}}, methods={"plain": {}}, script=script)
    command = path.with_name("impatient.py")
    command.write_text(IMPATIENT)
    return Script(
        [command, "study", path, "--output", output],
        cwd=ROOT,
        environment={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def pid_of_hanging(output):
    path = output / "full" / "plain" / "seed1" / "pid"
    until = time.monotonic() + 180  # a busy machine takes its time to start processes
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return int(path.read_text())


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("how", ["hang", "hang deaf"])
def test_asked_to_end_it_ends_its_trainings(how, study_file, script, tmp_path):
    process = start(study_file, tmp_path / "out", script(how))
    pid = pid_of_hanging(tmp_path / "out")
    process.send_signal(signal.SIGTERM)
    if how == "hang deaf":
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)  # impatience changes nothing
    done = process.end(timeout=30)
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not is_alive(pid)
    assert read_record(tmp_path / "out" / "full" / "plain" / "seed1").minutes > 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_killed_study_goes_on(study, study_file, script, tmp_path):
    output, hanging = tmp_path / "out", script("hang")
    process = start(study_file, output, hanging)
    pid = pid_of_hanging(output)
    process.send_signal(signal.SIGKILL)
    process.end(timeout=30)
    planned = study(protocols={"full": {}}, methods={"plain": {}}, script=hanging).cells
    # The training that it left behind isn't disturbed.
    assert is_alive(pid)
    with pytest.raises(InputError, match=rf"{output} is in use"):
        run_cells(planned, output, 1, fake("well"))
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert run_cells(planned, output, 1, fake("well")) == []
    assert log_of(planned[0], output).count("threads") == 1
    assert log_of(planned[1], output).endswith("resumed True\n")


@pytest.mark.usefixtures("_own_signals")
def test_command(study_file, script, tmp_path, command_line):
    output = tmp_path / "out"

    def study(how):
        return study_file(protocols={"full": {}}, controls=["plain"], script=script(how))

    done = command_line("study", study("fail"), "--output", output)
    assert done.exit_code == 1
    message = done.stderr
    assert f"{output}/full/plain/seed1/train.log:\n    threads" in message
    assert "\n    error: something is wrong\n" in message
    assert "error: failed: full/plain/seed1, full/comining/seed1" in message
    printed = done.stdout
    assert "2 of 4 runs are finished" in printed
    assert "| full" in printed
    assert "different versions" not in printed

    assert command_line("study", study("well"), "--output", output).exit_code == 0
    for name in ("table.md", "table.csv", "runs.csv", "ap.png", "ap.svg", "mining.png"):
        (output / name).rename(output / f"old_{name}")
    folder = output / "full" / "plain" / "seed0"
    words = ("study", study("fail"), "--output", output, "--report-only", "--quiet")
    assert command_line(*words).output == ""
    for name in ("table.md", "table.csv", "runs.csv", "ap.png"):
        assert (output / name).read_bytes() == (output / f"old_{name}").read_bytes()
    write_record(folder, read_record(folder)._replace(code="a1"))
    printed = command_line("study", study("fail"), "--output", output, "--report-only").stdout
    assert "of different versions of the project, " in printed
    assert "a1" in printed
    (plain,) = [line for line in (output / "table.md").read_text().splitlines() if "plain " in line]
    assert "10.5 ± 0.7" in plain


@pytest.mark.usefixtures("_own_signals")
def test_command_with_mistakes(study_file, tmp_path, command_line):
    words = ("study", study_file(), "--output", tmp_path / "out")
    assert "0 is not in the range" in command_line(*words, "--jobs", 0).stderr
    assert not (tmp_path / "out").exists()
    message = command_line(*words, "--report-only").stderr
    assert message == f"error: --output {tmp_path / 'out'}: no such folder, nothing to report\n"
    (tmp_path / "file").touch()
    message = command_line(*words[:2], "--output", tmp_path / "file").stderr
    assert message.startswith("error: ")
    assert str(tmp_path / "file") in message
    message = command_line("study", tmp_path / "x.yaml", *words[2:]).stderr
    assert message.startswith(f"error: {tmp_path / 'x.yaml'} is neither a file nor the name")


def test_real_training_that_is_killed_and_goes_on(study, own_overrides, tmp_path):
    words = iter(own_overrides)
    settings = {key: value for key, value in zip(words, words, strict=True) if key != "OUTPUT_DIR"}
    settings |= {"SOLVER.CHECKPOINT_PERIOD": 1, "SOLVER.AMP.ENABLED": False}
    settings["MODEL.RETINANET.SCORE_THRESH_TEST"] = 0.0
    planned = study(
        settings=settings, methods={"comining": {}}, protocols={"own": {}}, seeds=[3]
    ).cells
    output = tmp_path / "out"
    assert run_cells(planned, output, 1, (RUN_UNTIL, "in a step", "1", "0")) == list(planned)
    assert run_cells(planned, output, 1) == []
    assert "Starting training from iteration 1" in log_of(planned[0], output)
    (run,) = read_runs(planned, output)
    results = json.loads((output / "own/comining/seed3/results.json").read_text())
    assert run.values["AP"] == results["bbox"]["AP"] >= 0
    assert run.values["mined_per_image"] == 0
    # It ran with what the plan says.
    config = (output / "own/comining/seed3/config.yaml").read_text()
    assert "SEED: 3" in config
    assert "MAX_ITER: 2" in config
