"""The installer runs in an empty virtual environment, on small stand-ins for detectron2."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from comining.installation.repairs import Repair, RepairError, apply_repairs

CHECKOUT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9/"  # nothing listens on the discard port
PACKAGE = {
    "LICENSE": "the licence",
    "detectron2/__init__.py": "__version__ = '0.6'\n",
    "detectron2/modeling.py": "import detectron2.evaluation\nOLD\n",
    "detectron2/evaluation.py": "",
    "detectron2/model_zoo/configs/a.yaml": "depth: 50\n",
    "setup.py": "raise SystemExit('not to be run')\n",
}
REPAIR = "Repair('a name', 'detectron2/modeling.py', 'OLD', 'REPAIRED = 1')"


class Environment:
    """A virtual environment with pip, setuptools and a stand-in for torch, without network."""

    def __init__(self, folder: Path):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        self.site = next(folder.glob("lib/python*/site-packages"))
        packages = Path(find_spec("pip").origin).parents[1]
        own = ("pip", "setuptools", "setuptools-*.dist-info", "_distutils_hack", "click")
        for pattern in own:
            for source in packages.glob(pattern):
                (self.site / source.name).symlink_to(source, target_is_directory=True)
        (self.site / "torch.py").touch()

    def run(self, *command: object, **variables: str) -> subprocess.CompletedProcess:
        own = ("PYTHON", "PIP_", "COMINING_")
        inherited = {name: v for name, v in os.environ.items() if not name.startswith(own)}
        pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": NOWHERE, "PIP_NO_DEPS": "1"}
        return subprocess.run(
            [str(self.python), "-B", *map(str, command)],
            env={**inherited, **pip, **variables},
            capture_output=True,
            text=True,
        )

    def install(
        self, *arguments: object, variables: dict[str, str] | None = None, **settings: str
    ) -> subprocess.CompletedProcess:
        """Run the command with some of its module's constants set to the given expressions."""
        code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        code += "from comining.cli import main\nfrom comining.installation.repairs import Repair\n"
        code += "from comining.installation import detectron2, release\n"
        for name, value in settings.items():
            module = "detectron2" if name.startswith("UPSTREAM") else "release"
            code += f"{module}.{name} = {value}\n"
        return self.run(
            "-c", f"{code}main()", "install-detectron2", *arguments, **(variables or {})
        )

    def installed(self) -> list[str]:
        return sorted(path.name for path in self.site.glob("detectron2*"))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def write_archive(path: Path, files: dict[str, str]) -> dict[str, str]:
    """Write a source archive; return the settings that make it the expected one."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"pb1-detectron2-0.6/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"RELEASE_SHA256": repr(sha256), "REPAIRS": f"[{REPAIR}]"}


def assert_refused(done: subprocess.CompletedProcess, *words: str) -> None:
    assert done.returncode == 1
    assert done.stderr.startswith("error: detectron2 wasn't installed: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_release_becomes_a_distribution_that_a_repeat_run_leaves_alone(environment, tmp_path):
    archive = tmp_path / "release.tar.gz"
    settings = write_archive(archive, PACKAGE)

    first = environment.install("--archive", archive, **settings)
    assert first.returncode == 0, first.stderr
    assert f"installed detectron2 0.6 in {environment.site / 'detectron2'}" in first.stdout
    assert "route pypi" in first.stdout
    assert "lacks the compiled operators" in first.stdout
    assert first.stdout.splitlines()[-1].startswith("Done. That is all that comining needs")
    assert environment.installed() == ["detectron2", "detectron2-0.6.dist-info"]
    assert "REPAIRED" in (environment.site / "detectron2/modeling.py").read_text()
    assert (environment.site / "detectron2/model_zoo/configs/a.yaml").read_text() == "depth: 50\n"

    shown = environment.run("-m", "pip", "show", "detectron2").stdout
    assert "Version: 0.6\n" in shown
    assert "License: Apache-2.0\n" in shown
    assert "fvcore" in shown
    assert (
        "detectron2/modeling.py: a name"
        in (environment.site / "detectron2-0.6.dist-info" / "METADATA").read_text()
    )

    again = environment.install()
    assert again.returncode == 0
    assert f"0.6 in {environment.site / 'detectron2'} is there already" in again.stdout

    removed = environment.run("-m", "pip", "uninstall", "--yes", "detectron2")
    assert removed.returncode == 0, removed.stderr
    assert environment.installed() == []


def test_main_is_built_from_its_repository(environment, tmp_path):
    repository = tmp_path / "repository"
    (repository / "detectron2").mkdir(parents=True)
    for name in ("__init__", "modeling", "evaluation"):
        (repository / f"detectron2/{name}.py").write_text("__version__ = '0.6'\n")
    (repository / "setup.py").write_text(
        "import torch\nfrom setuptools import setup\n"
        "setup(name='detectron2', version='0.6', packages=['detectron2'])\n"
    )
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository, text=True)

    settings = {"UPSTREAM_URL": repr(str(repository)), "UPSTREAM_COMMIT": repr(commit.strip())}
    done = environment.install(**settings)
    assert done.returncode == 0, done.stderr
    assert f"route main: commit {commit.strip()}, complete" in done.stdout
    assert environment.installed() == ["detectron2", "detectron2-0.6.dist-info"]


def test_without_network_each_route_says_what_it_could_not_reach(environment):
    done = environment.install("--timeout", "5", UPSTREAM_URL=repr(NOWHERE))
    assert_refused(done, "downloading pip==")
    assert f"route main isn't open: reaching {NOWHERE} failed" in done.stdout
    assert environment.installed() == []

    done = environment.install("--route", "main", UPSTREAM_URL=repr(NOWHERE))
    assert_refused(done, f"reaching {NOWHERE} failed")


def test_another_archive_is_refused(environment, tmp_path):
    archive = tmp_path / "other.tar.gz"
    write_archive(archive, PACKAGE)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    done = environment.install("--archive", archive)
    assert_refused(done, str(archive), sha256, "5d2e9e51e523ec72f6a31cca04b0a515")
    assert environment.installed() == []


def test_missing_archive_is_refused(environment, tmp_path):
    done = environment.install("--archive", tmp_path / "none.tar.gz")
    assert_refused(done, f"{tmp_path / 'none.tar.gz'}: No such file")


def test_repair_that_does_not_fit_stops_the_installation(environment, tmp_path):
    archive = tmp_path / "release.tar.gz"
    settings = write_archive(archive, {**PACKAGE, "detectron2/modeling.py": "changed\n"})
    done = environment.install("--archive", archive, **settings)
    assert_refused(
        done, "repair 'a name' doesn't fit", "detectron2/modeling.py holds 'OLD' 0 times"
    )
    assert environment.installed() == []


def test_package_that_cannot_be_imported_does_not_stay(environment, tmp_path):
    archive = tmp_path / "release.tar.gz"
    settings = write_archive(archive, {**PACKAGE, "detectron2/evaluation.py": "import missing\n"})
    done = environment.install("--archive", archive, **settings)
    assert_refused(done, "No module named 'missing'")
    assert environment.installed() == []


def test_broken_installation_is_named_and_kept(environment):
    (environment.site / "detectron2.py").write_text("import missing\n")
    done = environment.install()
    assert_refused(done, "No module named 'missing'", "pip uninstall detectron2")
    assert environment.installed() == ["detectron2.py"]


def test_torch_is_needed_first(environment):
    (environment.site / "torch.py").unlink()
    assert_refused(environment.install(), "pip install torch")


def test_checkout_in_the_current_folder_is_no_installation(environment, tmp_path, monkeypatch):
    (tmp_path / "detectron2").mkdir()
    (tmp_path / "detectron2" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    done = environment.install("--route", "main", UPSTREAM_URL=repr(NOWHERE))
    assert_refused(done, f"reaching {NOWHERE} failed")


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (
            [],
            {"COMINING_DETECTRON2_ROUTE": "conda"},
            "'conda' is not one of 'auto', 'main', 'pypi'",
        ),
        (["--route", "conda"], {}, "'conda' is not one of 'auto', 'main', 'pypi'"),
        (["--route", "main", "--archive", "a.tar.gz"], {}, "--archive goes with --route pypi"),
    ],
)
def test_wrong_usage(environment, arguments, variables, message):
    done = environment.install(*arguments, variables=variables)
    assert done.returncode == 2
    assert message in done.stderr


def test_empty_variable_names_no_compiler(environment, monkeypatch):
    monkeypatch.setenv("CXX", "")
    done = environment.install("--route", "main", UPSTREAM_URL=repr(NOWHERE))
    assert_refused(done, f"reaching {NOWHERE} failed")


def test_variable_chooses_the_route(environment):
    done = environment.install(variables={"COMINING_DETECTRON2_ROUTE": "pypi"})
    assert_refused(done, "downloading pip==")
    assert "route main" not in done.stdout


def test_repairs_are_made_one_after_the_other_on_a_copy():
    files = {"a.py": b"x x y", "b.py": b"x"}
    repairs = [Repair("first", "a.py", "x", "z", 2), Repair("second", "a.py", "z y", "w")]
    assert apply_repairs(files, repairs) == {"a.py": b"z w", "b.py": b"x"}
    assert files == {"a.py": b"x x y", "b.py": b"x"}


@pytest.mark.parametrize(
    ("file", "count", "message"),
    [
        ("a.py", 1, "a.py holds 'x' 2 times instead of 1"),
        ("missing.py", 1, "missing.py holds 'x' 0 times instead of 1"),
    ],
)
def test_repair_must_fit_exactly(file, count, message):
    with pytest.raises(RepairError, match=message):
        apply_repairs({"a.py": b"x x"}, [Repair("name", file, "x", "y", count)])
