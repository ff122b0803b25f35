"""The wheel has all that the command needs, without the checkout."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Runs commands one after the other in one process, as its start takes seconds.
DRIVER = """
import json, sys
from click.testing import CliRunner
import comining
from comining.cli import main

print(comining.__file__)
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, words)
    if done.exit_code != 0:
        sys.exit(f"{words}: {done.output}{done.exception!r}")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, as building leaves files behind: of what belongs to the repository, changed or not.
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "comining", "configs"],
        cwd=ROOT, text=True,
    )  # fmt: skip
    for name in [*listed.splitlines(), "setup.py", "pyproject.toml", "README.md", "LICENSE"]:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([sys.executable, *build, folder, source], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel, and what it requires from this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    ours = next(Path(x) for x in sys.path if x.endswith("site-packages"))
    (site / "what_it_requires.pth").write_text(f"{ours}\n")
    return folder


def run(*words, cwd):
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**variables, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_configs_pages_and_types_are_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {
        f"comining/{path.relative_to(ROOT)}"
        for pattern in ("*.yaml", "studies/*.yaml", "lazy/*.py", "lazy/common/*.py")
        for path in (ROOT / "configs").glob(pattern)
    }
    assert configs <= names
    assert {"comining/py.typed", "comining/completion/report.html"} <= names
    assert any(name.startswith("comining/completion/page/") for name in names)
    assert not any(name.startswith(("tests/", "tools/", "docs/")) for name in names)


def described(environment):
    """What PyPI shows of the package."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    return subprocess.check_output(
        [sys.executable, "setup.py", "--quiet", "--long-description"],
        cwd=ROOT, env={**known, **environment}, text=True,
    )  # fmt: skip


def test_readme_leads_somewhere_from_elsewhere():
    where = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "me/comining"}
    text = described(where)
    base = "https://github.com/me/comining"
    assert f"]({base}/raw/v0.1.0/docs/pictures/blood_cells.jpg)" in text
    assert f"[Step by step]({base}/blob/v0.1.0/docs/complete.md)" in text
    assert f"[scenes]({base}/blob/v0.1.0/docs/studies/scenes/table.md), [longer](" in text
    assert f"[compared]({base}/blob/v0.1.0/docs/log/methods.md#from-a-trained-trunk)" in text
    alone = described({})
    assert "Step by step." in alone
    assert "| trunk, scenes, longer, FCOS | scenes | trees |" in alone
    for found in (text, alone):
        assert "[detectron2](https://github.com/facebookresearch/detectron2)" in found
        assert not re.search(r"\]\((?!https://)|^\[\w+\]: ", found, re.M)


def test_command_works_away_from_the_checkout(environment, own_data, tmp_path):
    version = run(environment / "bin" / "comining", "--version", cwd=tmp_path)
    assert version.returncode == 0, version.stderr
    images, annotations = own_data / "images", own_data / "annotations.json"
    tiny = ["MODEL.RETINANET.NUM_CLASSES", 2, "MODEL.FPN.OUT_CHANNELS", 8, "MODEL.DEVICE", "cpu",
            "SOLVER.MAX_ITER", 1, "SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", 0,
            "DATASETS.REGISTER", f"[['own', '{annotations}', '{images}']]",
            "DATASETS.TRAIN", "['own']", "DATASETS.TEST", "['own']"]  # fmt: skip
    model = ["--config", "demo", "--weights", "trained/model_final.pth"]
    commands = [
        ["check", annotations, "--images", images],
        ["sparsify", "--annotations", annotations, "--protocol", "hard", "--seed", 0,
         "--output", "half.json"],
        ["complete", images, "half.json", "--output", "out", "--device", "cpu", "--weights", "none",
         "--dry-run"],
        ["train", "--config", "demo", "--output", "trained", *tiny],
        ["evaluate", *model, "--output", "evaluated", *tiny],
        ["export", *model, "--format", "torchscript", "--output", "detector.ts", *tiny],
        ["review", annotations, "--images", images, "--html", "page.html"],
    ]  # fmt: skip
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = run(environment / "bin" / "python", "-c", DRIVER, words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(environment)
    for name in ("half.json", "out/config.yaml", "trained/model_final.pth", "detector.ts",
                 "evaluated/results.json", "page.html"):  # fmt: skip
        assert (tmp_path / name).is_file()


def test_without_detectron2_a_command_says_how_to_get_it(environment, tmp_path):
    hidden = "import sys; sys.modules['detectron2'] = None; from comining.cli import main; main()"
    for words, code in ((["complete", tmp_path, "a.json", "--output", "o"], 2), (["--help"], 0)):
        done = run(environment / "bin" / "python", "-c", hidden, *words, cwd=tmp_path)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        if code:
            (line,) = done.stderr.splitlines()
            assert "comining install-detectron2" in line
