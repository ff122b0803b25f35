"""What the documentation tells users to type."""

import argparse
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import demo
import pytest
from PIL import Image

from comining.annotations.check import check_images, note_unlisted
from comining.annotations.coco_file import read_coco
from comining.engine import load_config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page):
    """The command lines of a page that start Python programs."""
    text = re.sub(r"\\\n *", "", page.read_text())
    return re.findall(r"^ *((?:srun )?(?:python|torchrun) .*)$", text, re.M)


class Parsed(Exception):
    """Ends a program once its parser has accepted the command line."""


@pytest.fixture
def parse(monkeypatch):
    """What the program of a command line makes of it, by its own parser; no more of it is run."""
    parse_args = argparse.ArgumentParser.parse_args

    def and_stop(self, args=None, namespace=None):
        raise Parsed(parse_args(self, args, namespace))

    def parse(words):
        name, run = words[0], runpy.run_path
        if name == "-m":
            words, run = words[1:], runpy.run_module
            monkeypatch.delitem(sys.modules, words[0], raising=False)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(Parsed) as parsed:
            run(words[0], run_name="__main__")
        return parsed.value.args[0]

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", and_stop)
    monkeypatch.chdir(ROOT)
    return parse


@pytest.mark.parametrize(
    ("page", "command"), [(page.name, x) for page in PAGES for x in commands(page)]
)
def test_command(page, command, parse):
    words = shlex.split(command, comments=True)
    # What is before belongs to python, srun or torchrun.
    words = words[next(i for i, x in enumerate(words) if x == "-m" or x.endswith(".py")) :]
    if words[0] != "-m" and "/" not in words[0] and not (ROOT / words[0]).exists():
        compile(script((ROOT / "docs" / page).read_text(), words[0]), words[0], "exec")
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
    text = "\n".join(x for page in PAGES for x in commands(page))
    for program in ("train_net.py", "comining.annotations.check", "datasets/make_scenes.py"):
        assert program in text
    for tool in ("plot_run", "show_mined", "mine_annotations", "review", "predict"):
        assert f"python tools/{tool}.py " in text


def script(page, name):
    """The Python code that a page tells to put into a file of that name."""
    (code,) = re.findall(rf"^```python\n# {re.escape(name)}\n(.*?)^```$", page, re.M | re.S)
    return code


def test_commands_of_the_demo(parse, tmp_path, monkeypatch, capsys):
    asked = []

    def run(command, **_):
        asked.append(command[command.index("-W") + 2 :])
        return subprocess.CompletedProcess(command, 0)

    (tmp_path / "output" / "demo").mkdir(parents=True)
    results = {"bbox": {"AP": 12.34, "AP50": None}}
    (tmp_path / "output" / "demo" / "results.json").write_text(json.dumps(results))
    with monkeypatch.context() as patch:
        patch.setattr(demo, "ROOT", tmp_path)
        patch.setattr(demo.subprocess, "run", run)
        demo.demo()
    assert "AP 12.3, AP50 0.0" in capsys.readouterr().out
    scripts = [words[0] for words in asked]
    assert scripts == [
        "datasets/make_scenes.py", "train_net.py", "tools/show_mined.py", "tools/plot_run.py"
    ]  # fmt: skip
    for words in asked:
        options = parse(words)
        load_config(getattr(options, "config_file", ""), getattr(options, "opts", []))


def test_script_that_appends_images(tmp_path, monkeypatch):
    folder = tmp_path / "mydata" / "train"
    folder.mkdir(parents=True)
    for name, size in (("listed.png", (4, 3)), ("new.png", (5, 4))):
        Image.new("RGB", size).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (3, 6)).save(folder / "turned.JPG", exif=exif)
    (folder / "notes.txt").touch()
    before = {
        "images": [{"id": 7, "file_name": "listed.png", "width": 4, "height": 3}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 1, "name": "shape"}],
    }
    (tmp_path / "mydata" / "train.json").write_text(json.dumps(before))
    monkeypatch.chdir(tmp_path)
    exec(script((ROOT / "docs" / "your_data.md").read_text(), "add_images.py"), {})
    dataset, report = read_coco("mydata/train_all.json", folder)
    check_images(dataset["images"], folder, report)
    note_unlisted(dataset["images"], folder, report)
    assert report.findings == []
    assert dataset == {
        **before,
        "images": [
            *before["images"],
            {"id": 8, "file_name": "new.png", "width": 5, "height": 4},
            {"id": 9, "file_name": "turned.JPG", "width": 6, "height": 3},
        ],
    }
