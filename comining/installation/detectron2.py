"""Install detectron2 into the Python that runs this.

An importable detectron2 is left alone. Otherwise there are two routes:

main  A recent commit of upstream's main branch, built from its repository. Needs git, a C++
      compiler and access to GitHub. Complete.
pypi  The 0.6 release as found on PyPI, as plain Python, with a few repairs for today's libraries
      (repairs.py). Lacks the compiled operators, which dense detectors don't use.

The default, auto, tries main and then pypi. torch must be there already. Either way pip sees an
ordinary distribution: `pip list` shows detectron2 and `pip uninstall detectron2` removes it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from .release import RELEASE, build_release
from .repairs import REPAIRS
from .running import InstallError, run

ROUTES = ("auto", "main", "pypi")
ROUTE_VARIABLE = "COMINING_DETECTRON2_ROUTE"

UPSTREAM_URL = "https://github.com/facebookresearch/detectron2"
UPSTREAM_COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"

# Prints nothing where there is no detectron2.
IMPORT_PROBE = """\
import importlib.util, os, sys
if importlib.util.find_spec("detectron2") is None:
    sys.exit()
try:
    import detectron2.evaluation, detectron2.modeling
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(detectron2.__version__, "in", os.path.dirname(detectron2.__file__))
"""


def find_detectron2() -> str | None:
    """Return version and folder of the installed detectron2, or None if there is none.

    Raises:
        InstallError: there is one, but it can't be imported.
    """
    # In a folder of its own, so that a checkout in the current one isn't taken for an installation.
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", IMPORT_PROBE]
        try:
            found = run(command, "importing the installed detectron2", cwd=Path(folder))
        except InstallError as error:
            raise InstallError(
                f"{error}\nIf it isn't wanted as it is, `{sys.executable} -m pip uninstall "
                "detectron2` and run this again."
            ) from error
    return found.strip().splitlines()[-1] if found else None


def build_main(folder: Path, timeout: float) -> Path:
    """Build a wheel from upstream's repository.

    Args:
        folder: an empty folder to work in.
        timeout: seconds to wait for a server that doesn't answer.

    Returns:
        The wheel's path, in ``folder``.

    Raises:
        InstallError: a tool is missing, the repository can't be reached, or the build failed.
    """
    compiler = (os.environ.get("CXX") or "c++").split()[0]
    for tool in ("git", compiler):
        if shutil.which(tool) is None:
            raise InstallError(f"{tool} not found")
    run(["git", "ls-remote", UPSTREAM_URL, "HEAD"], f"reaching {UPSTREAM_URL}", timeout=timeout)

    print("building detectron2 from its repository: this takes some minutes", flush=True)
    source = folder / "source"
    run(["git", "init", "--quiet", source], "making a repository")
    # A transfer that stalls is given up; one that is merely slow isn't.
    stall = ["-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={max(1, round(timeout))}"]
    fetch = ["git", *stall, "fetch", "--quiet", "--depth", "1", UPSTREAM_URL, UPSTREAM_COMMIT]
    run(fetch, f"fetching commit {UPSTREAM_COMMIT}", cwd=source)
    run(["git", "checkout", "--quiet", "FETCH_HEAD"], "checking out", cwd=source)
    build = ["-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    run([sys.executable, *build, "--wheel-dir", folder, source], "building detectron2")
    return next(folder.glob("*.whl"))


def install_wheel(wheel: Path) -> str:
    """Install a wheel of detectron2 with what it requires; one that can't be imported doesn't stay.

    Returns:
        Version and folder of the installed detectron2.

    Raises:
        InstallError: it could not be installed or imported.
    """
    pip = [sys.executable, "-m", "pip"]
    run([*pip, "install", wheel], "installing detectron2")
    try:
        found = find_detectron2()
    except InstallError:
        run([*pip, "uninstall", "--yes", "detectron2"], "removing detectron2")
        raise
    if found is None:
        raise InstallError("pip installed detectron2, but it is not found")
    return found


def install(route: str, timeout: float, archive: Path | None = None) -> str:
    """Install detectron2 unless there is one that can be imported.

    Args:
        route: one of ``ROUTES``.
        timeout: seconds to wait for a server that doesn't answer.
        archive: a local copy of the release's source archive, for the route ``pypi``.

    Returns:
        What was installed and what it lacks, or what was there.

    Raises:
        InstallError: nothing was installed.
    """
    found = find_detectron2()
    if found is not None:
        return f"detectron2 {found} is there already: left as it is"
    if importlib.util.find_spec("torch") is None:
        raise InstallError("detectron2 needs torch: `pip install torch torchvision` first")
    with tempfile.TemporaryDirectory() as scratch:
        if route in ("auto", "main"):
            try:
                folder = Path(tempfile.mkdtemp(dir=scratch))
                found = install_wheel(build_main(folder, timeout))
                return (
                    f"installed detectron2 {found}\nroute main: commit {UPSTREAM_COMMIT}, "
                    "complete\nDone."
                )
            except InstallError as error:
                if route == "main":
                    raise
                print(f"route main isn't open: {error}\ntrying route pypi", flush=True)
        folder = Path(tempfile.mkdtemp(dir=scratch))
        found = install_wheel(build_release(folder, timeout, archive))
    return (
        f"installed detectron2 {found}\n"
        f"route pypi: {RELEASE} with {len(REPAIRS)} repairs. It lacks the compiled operators: "
        "deformable convolution, rotated boxes, fast COCO evaluation (pycocotools' own is used "
        "instead).\nDone. That is all that comining needs: none of its detectors needs these."
    )
