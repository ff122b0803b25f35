"""What the command imports before it begins, and what importing the package does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comining.cli import COMMANDS

ROOT = Path(__file__).parents[2]
#: Imports what the words name, as the command's script or a program of that name would, and tells
#: whether torch came with it.
PROGRAM = "import sys\nimport {0}\nprint('torch' in sys.modules)\n{1}"
REGISTERED = (
    "from detectron2.modeling import META_ARCH_REGISTRY, BACKBONE_REGISTRY\n"
    "from detectron2.data import DatasetCatalog\n"
    "print('CoMiningFCOS' in META_ARCH_REGISTRY, 'coco_2017_train_hard' in DatasetCatalog.list(),\n"
    "      'build_torchvision_fpn_backbone' in BACKBONE_REGISTRY)"
)


def run(*words, folder, **variables):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )


def command(*words, folder, start=("-m", "comining"), **variables):
    """Run ``comining WORDS``: what it printed, and whether it has imported torch."""
    done = run("-X", "importtime", *start, *words, folder=folder, **variables)
    imported = {x.rpartition("|")[2].strip() for x in done.stderr.splitlines()}
    assert "click" in imported
    return done.stdout, "torch" in imported


def test_help_needs_no_torch(tmp_path):
    for words in ((), ("complete",)):
        printed, has_torch = command(*words, "--help", folder=tmp_path)
        assert printed.startswith("Usage: ")
        assert not has_torch


def test_annotations_are_checked_and_thinned_out_without_torch(own_data, tmp_path):
    annotations, images = own_data / "annotations.json", own_data / "images"
    printed, has_torch = command("check", annotations, "--images", images, folder=tmp_path)
    assert "training can use it" in printed
    assert not has_torch
    words = ("--annotations", annotations, "--protocol", "hard", "--seed", 0, "--output", "half")
    assert not command("sparsify", *words, folder=tmp_path)[1]
    known = ("half", "--exhaustive", "all", "--images-glob", "*3.jpg", "--output", "known")
    assert not command("annotate-known", *known, folder=tmp_path)[1]
    assert (tmp_path / "known").is_file()


def test_a_review_needs_no_torch(own_data, tmp_path):
    words = (own_data / "annotations.json", "--images", own_data / "images")
    printed, has_torch = command("review", *words, "--html", "page.html", folder=tmp_path)
    assert printed.startswith("page.html\n")
    assert not has_torch


def test_a_shell_is_offered_names_without_torch(tmp_path):
    """At once, that is."""
    script = tmp_path / "comining"
    script.write_text("from comining.cli import main\nmain()")

    def offered(words):
        printed, has_torch = command(
            folder=tmp_path,
            start=[script],
            _COMINING_COMPLETE="bash_complete",
            COMP_WORDS=f"comining {words}",
            COMP_CWORD=str(len(words.split())),
        )
        assert not has_torch
        return printed.split()

    assert offered("e") == ["plain,evaluate", "plain,export"]
    assert offered("prepare blood") == ["plain,blood-cells", "plain,blood-cells-2017"]
    assert "plain,--protocol" in offered("sparsify --pr")


@pytest.mark.parametrize(
    ("name", "imported", "has_torch"),
    [
        ("program.py", "comining", True),
        ("comining", ", ".join(f"comining.cli.{x.replace('-', '_')}" for x in COMMANDS), False),
        ("comining", "comining.engine", True),
    ],
)
def test_what_registers_the_detectors(tmp_path, name, imported, has_torch):
    """Importing the package does, but where the command's script does: there its engine does."""
    registered = REGISTERED if has_torch else ""
    (tmp_path / name).write_text(PROGRAM.format(imported, registered))
    done = run(tmp_path / name, folder=tmp_path)
    assert done.stdout.split() == [str(has_torch), *["True"] * 3 * has_torch], done.stderr


def test_a_program_that_is_run_as_a_module_registers_the_detectors(tmp_path):
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__init__.py").write_text(PROGRAM.format("comining", REGISTERED))
    (tmp_path / "program" / "__main__.py").write_text("")
    done = run("-m", "program", "comining", folder=tmp_path)
    assert done.stdout.split() == ["True"] * 4, done.stderr


def test_the_command_has_all_names_of_the_package(tmp_path):
    """A Lazy config that it runs may import them."""
    (tmp_path / "comining").write_text(
        "import comining\nfor name in comining.__all__: print(getattr(comining, name).__name__)"
    )
    done = run(tmp_path / "comining", folder=tmp_path)
    import comining

    assert done.stdout.split() == comining.__all__, done.stderr
