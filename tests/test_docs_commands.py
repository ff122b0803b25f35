"""What the documentation tells users to type."""

import argparse
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from comining.cli import COMMANDS, demo, main
from comining.config_files import find_config
from comining.engine import load_config

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "datasets" / "README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]


def commands(page):
    """The command lines of a page that start programs of the project."""
    text = re.sub(r"\\\n *", "", page.read_text())
    return re.findall(r"^ *((?:srun )?(?:python|torchrun|comining) .*)$", text, re.M)


class Parsed(Exception):
    """Ends a program once its parser has accepted the command line."""


@pytest.fixture
def parse(monkeypatch):
    """What the program of a command line makes of it, by its own parser; no more of it is run."""
    parse_args = argparse.ArgumentParser.parse_args

    def and_stop(self, args=None, namespace=None):
        raise Parsed(parse_args(self, args, namespace))

    def parse(words):
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(Parsed) as parsed:
            runpy.run_path(words[0], run_name="__main__")
        return parsed.value.args[0]

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", and_stop)
    monkeypatch.chdir(ROOT)
    return parse


def parse_comining(words):
    """The context of the command that ``comining WORDS`` would run."""
    group = click.Context(main, **main.context_settings)
    command = main.get_command(group, words[0])
    assert command, f"no command {words[0]}"
    return command.make_context(words[0], words[1:], group)


@pytest.fixture
def _files_of_the_pages(tmp_path, monkeypatch):
    """What the reader has by then."""
    for name in ("my.yaml", "CONFIG", "completed.json", "exported.json", "decisions.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "completed").mkdir()
    (tmp_path / "completed" / "config.yaml").touch()
    monkeypatch.chdir(tmp_path)


ALL = [(str(page.relative_to(ROOT)), x) for page in PAGES for x in commands(page)]


@pytest.mark.usefixtures("_files_of_the_pages")
@pytest.mark.parametrize(("page", "command"), [x for x in ALL if "comining " in x[1]])
def test_command_of_comining(page, command):
    words = shlex.split(command.replace("$protocol", "hard"), comments=True)
    context = parse_comining(words[words.index("comining") + 1 :])
    load_config("", list(context.params.get("settings", [])))
    if study := context.params.get("study"):
        assert str(study) == "study.yaml" or find_config(str(study))


@pytest.mark.parametrize(("page", "command"), [x for x in ALL if "comining " not in x[1]])
def test_command(page, command, parse):
    words = shlex.split(command, comments=True)
    # What is before belongs to python.
    words = words[next(i for i, x in enumerate(words) if x.endswith(".py")) :]
    if "/" not in words[0] and not (ROOT / words[0]).exists():
        compile(script((ROOT / page).read_text(), words[0]), words[0], "exec")
        if len(words) == 1:
            return
        words[0] = "train_net.py"  # whose arguments those of a page take
    options = parse(words)
    config = getattr(options, "config_file", "")
    if config.startswith("configs/"):
        assert (ROOT / config).is_file()
    if not config.endswith(".py"):  # a Lazy config has other keys
        load_config("", getattr(options, "opts", []))


def test_commands_are_found():
    text = "\n".join(command for _, command in ALL)
    for words in ("python train_net.py", "python tools/benchmark.py", "-m comining train"):
        assert words in text
    for name in COMMANDS:
        assert f"comining {name}" in text


def test_wrong_option_is_found():
    for words in (["train", "--config-file", "demo"], ["mine", "--config", "demo"], ["gone"]):
        with pytest.raises((click.UsageError, AssertionError)):
            parse_comining(words)


def script(page, name):
    """The Python code that a page tells to put into a file of that name."""
    (code,) = re.findall(rf"^```python\n# {re.escape(name)}\n(.*?)^```$", page, re.M | re.S)
    return code


def test_commands_of_the_demo(command_line, tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command[command.index("comining") + 1 :])
        return subprocess.CompletedProcess(command, 0)

    (tmp_path / "training").mkdir()
    results = {"bbox": {"AP": 12.34, "AP50": None}}
    (tmp_path / "training" / "results.json").write_text(json.dumps(results))
    monkeypatch.setattr(demo.subprocess, "run", run)
    done = command_line("demo", "--output", tmp_path)
    assert done.stdout.startswith(f"$ cd {tmp_path}\n")
    assert "AP 12.3, AP50 0.0" in done.stdout
    assert [words[0] for words in asked] == ["prepare", "train", "show", "plot"]
    for words in asked:
        parse_comining(words)
