"""What ``comining`` tells about itself."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from comining.cli import COMMANDS, main
from comining.errors import InputError, PartialError, ResultError

#: What has one meaning has one name, wherever it is an option.
TELLING = {"audit", "review", "install-detectron2"}  # what they print is what they are for
FORMER_NAMES = {"--config-file", "--image-root", "--input", "--num-workers", "--opts", "--out"}


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_on_a_screen(option):
    done = CliRunner().invoke(main, [option], prog_name="comining", terminal_width=80)
    lines = done.output.splitlines()
    assert done.exit_code == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name in COMMANDS:
        (line,) = (x for x in lines if x.startswith(f"  {name} "))
        assert line.endswith(".")
        assert not line.endswith("..")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(command_line, name):
    done = command_line(name, "-h")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: main {name} [OPTIONS]")
    options = main.get_command(click.Context(main, **main.context_settings), name).params
    names = {word for x in options for word in x.opts}
    assert not names & FORMER_NAMES
    assert "--quiet" in names or name in TELLING
    for x in options:
        assert not isinstance(x, click.Option) or x.help


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["complte"], "No such command 'complte'. Did you mean 'complete'?"),
        (["predict", "a.jpg", "--wights", "x"], "--wights"),
        (["train", "--config", "demo", "--qiet"], "Did you mean '--quiet'?"),
        (["train", "--config", "dmo"], "error: dmo is neither a file nor the name of a config; "),
        (["evaluate", "--config", "demo", "--weights", ""], "which model? Name its weights"),
        (["evaluate", "--config", "demo", "--weights", "gone.pth"], "name another with --weights"),
        (["export", "--config", "demo", "--weights", "gone.pth", "--output", "a"], "--weights"),
        (["export", "--config", "demo", "--weights", "a", "--output", "a", "--format", "h5"],
         "'h5' is not one of"),
        (["mine", "--config", "demo", "--weights", "a", "--output", "a", "--precision", "2"],
         "--precision"),
        (["mine", "--config", "demo", "--weights", "a", "--output", "a", "--precision", "0.9"],
         "--precision and --calibrate-on belong together"),
        (["show", "--config", "demo", "--weights", "a", "--output", "a"], "end it with .png"),
        (["show", "--config", "demo", "--weights", "a", "--output", "a", "SOLVER.MAX_ITR", "1"],
         "there is no key SOLVER.MAX_ITR; did you mean SOLVER.MAX_ITER?"),
        (["plot"], "Missing argument"),
        (["complete", "a", "b.json"], "Missing option '--output'. For example: comining complete "),
        (["study", "gone"], "--output"),
    ],
)  # fmt: skip
def test_wrong_use(command_line, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = command_line(*words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert not any(tmp_path.iterdir())


def test_images_come_before_annotations(command_line, tmp_path):
    (tmp_path / "half.json").touch()
    done = command_line("complete", tmp_path / "half.json", tmp_path, "--output", tmp_path / "out")
    assert done.exit_code == 2
    told = (
        f"{tmp_path / 'half.json'} is a file: the folder of the images comes first. For example: "
    )
    assert f"{told}comining complete photos/ half.json --output completed/" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_setting_may_be_negative():
    words = ["--config", "demo", "--weights", "a", "--output", "b.png", "SEED", "-1"]
    group = click.Context(main, **main.context_settings)
    context = main.get_command(group, "show").make_context("show", words, group)
    assert context.params["settings"] == ("SEED", "-1")


def test_demo_goes_on_after_an_interruption(command_line, monkeypatch, tmp_path):
    done = []

    def run(words, cwd):
        done.append(words[3:])
        if words[3] == "train" and len(done) == 2:
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr("comining.cli.demo.subprocess.run", run)
    interrupted = command_line("demo", "--output", tmp_path)
    assert interrupted.exit_code == 130
    assert "the same command goes on" in interrupted.stderr
    assert command_line("demo", "--output", tmp_path, "--quiet").exit_code == 0
    assert [x[0] for x in done] == ["prepare", "train", "prepare", "train", "show", "plot"]
    assert all("--resume" in x for x in done if x[0] == "train")


def test_interruption_tells_how_to_go_on(command_line, monkeypatch, tmp_path, own_overrides):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("comining.engine.launch", interrupt)
    words = ("--config", "demo", "--weights", __file__)
    data = own_overrides[: own_overrides.index("OUTPUT_DIR")]
    for name, hint in (("mine", "the same command goes on"), ("evaluate", "interrupted\n")):
        done = command_line(name, *words, "--output", tmp_path / "out", *data)
        assert done.exit_code == 130
        assert hint in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError, 2), (PartialError, 1), (ResultError, 1), (FloatingPointError, 1), (OSError, 1)],
)
def test_errors_end_in_one_line(command_line, monkeypatch, tmp_path, error, code):
    def fail(*args, **options):
        raise error("it went wrong")

    monkeypatch.setattr("comining.studies.curves.plot_runs", fail)
    done = command_line("plot", tmp_path)
    assert (done.exit_code, done.stderr) == (code, "error: it went wrong\n")


def test_plot_can_be_quiet(command_line, monkeypatch, tmp_path):
    monkeypatch.setattr("comining.studies.curves.plot_runs", lambda *_: [tmp_path / "a.png"])
    assert command_line("plot", tmp_path).stdout == f"{tmp_path / 'a.png'}\n"
    assert command_line("plot", tmp_path, "--quiet").output == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["accept", "gone"], "gone is not there: name the --output of `comining complete`"),
        (["review", "gone"], "gone is not there: name the --output of `comining complete`"),
        (["audit", "gone"], "gone is not there: name the --output of `comining complete`"),
        (["audit", "done/completed.json"], "done/completed.json is a file: name its folder, done"),
    ],
)
def test_what_no_completion_has_written(command_line, words, message, tmp_path, monkeypatch):
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "completed.json").touch()
    monkeypatch.chdir(tmp_path)
    done = command_line(*words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "comining", "study", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
