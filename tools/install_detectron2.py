#!/usr/bin/env python3
"""Install detectron2 into the Python that runs this script.

An importable detectron2 is left alone. Otherwise there are two routes:

main  A recent commit of upstream's main branch, built from its repository. Needs git, a C++
      compiler and access to GitHub. Complete.
pypi  The 0.6 release as found on PyPI, as plain Python, with a few repairs for today's libraries
      (detectron2_repairs.py). Lacks the compiled operators, which dense detectors don't use.

The default, auto, tries main and then pypi. torch must be there already. Either way pip sees an
ordinary distribution: `pip list` shows detectron2 and `pip uninstall detectron2` removes it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from detectron2_repairs import REPAIRS, RepairError, apply_repairs

ROUTES = ("auto", "main", "pypi")
ROUTE_VARIABLE = "COMINING_DETECTRON2_ROUTE"

UPSTREAM_URL = "https://github.com/facebookresearch/detectron2"
UPSTREAM_COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"

RELEASE = "pb1-detectron2==0.6"
RELEASE_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
# Newer versions of pip refuse to download the release, because one of its optional extras, which
# isn't wanted here, names a package by its address.
DOWNLOADER = "pip==25.3"

RELEASE_METADATA = """\
Metadata-Version: 2.1
Name: detectron2
Version: 0.6
Summary: detectron2 0.6 as plain Python, repaired for today's libraries
Home-page: https://github.com/facebookresearch/detectron2
Author: FAIR
License: Apache-2.0
Requires-Python: >=3.10
Requires-Dist: Pillow>=7.1
Requires-Dist: matplotlib
Requires-Dist: pycocotools>=2.0.2
Requires-Dist: termcolor>=1.1
Requires-Dist: yacs>=0.1.8
Requires-Dist: tabulate
Requires-Dist: cloudpickle
Requires-Dist: tqdm>4.29.0
Requires-Dist: tensorboard
Requires-Dist: fvcore>=0.1.5,<0.1.6
Requires-Dist: iopath>=0.1.7
Requires-Dist: omegaconf>=2.1
Requires-Dist: hydra-core>=1.1
Requires-Dist: packaging
Requires-Dist: setuptools<81

The Python part of detectron2's 0.6 release. Changed from the original:

"""

WHEEL_TAGS = """\
Wheel-Version: 1.0
Generator: comining
Root-Is-Purelib: true
Tag: py3-none-any
"""

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


class InstallError(Exception):
    """detectron2 can't be installed this way; the message says why."""


def run(
    command: list[str | Path],
    doing: str,
    cwd: Path | None = None,
    timeout: float | None = None,
    env: dict[str, str] | None = None,
) -> str:
    """Run a command that asks nothing.

    Args:
        command: the program and its arguments.
        doing: what it is for, to begin an error message with.
        cwd: the folder to run it in.
        timeout: seconds after which it is ended.
        env: variables to set besides the present ones.

    Returns:
        What it printed to its standard output.

    Raises:
        InstallError: it doesn't exist, failed, or took too long.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            timeout=timeout,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "PIP_NO_INPUT": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{doing}: no answer within {timeout:g} s") from error
    except OSError as error:
        raise InstallError(f"{doing}: {error}") from error
    if done.returncode != 0:
        output = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise InstallError(f"{doing} failed:\n  " + "\n  ".join(output[-30:]))
    return done.stdout


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
    build = ["-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder]
    run([sys.executable, *build, source], "building detectron2")
    return next(folder.glob("*.whl"))


def download_release(folder: Path, timeout: float) -> Path:
    """Download the release's source archive with pip, from the index that pip is set up for.

    Args:
        folder: an empty folder to work in.
        timeout: seconds to wait for a server that doesn't answer.

    Returns:
        The archive's path, in ``folder``.

    Raises:
        InstallError: the index can't be reached, or what it holds isn't the expected file.
    """
    pip = [sys.executable, "-m", "pip"]
    network = ["--quiet", "--retries", "1", "--timeout", f"{timeout:g}", "--no-deps"]
    downloader = folder / "pip"
    command = [*pip, "install", *network, "--target", downloader, DOWNLOADER]
    run(command, f"downloading {DOWNLOADER}")

    # The hash stands here too, so that pip checks it before it runs anything from the archive.
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{RELEASE} --hash=sha256:{RELEASE_SHA256}\n", encoding="utf-8")
    options = ["--no-build-isolation", "--require-hashes", "--no-binary", ":all:"]
    command = [*pip, "download", *network, *options, "--dest", folder, "-r", requirement]
    run(command, f"downloading {RELEASE}", env={"PYTHONPATH": str(downloader)})
    return next(folder.glob("*.tar.gz"))


def read_archive(archive: Path) -> dict[str, bytes]:
    """Read the release's `detectron2` package and licence from its source archive.

    Args:
        archive: the archive, a ``.tar.gz`` with a single folder at its top.

    Returns:
        The contents of each file by its path in that folder.

    Raises:
        InstallError: the archive can't be read or isn't the expected one.
    """
    try:
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    except OSError as error:
        raise InstallError(f"{archive}: {error.strerror}") from error
    if sha256 != RELEASE_SHA256:
        raise InstallError(
            f"{archive} isn't the source archive of {RELEASE}: its sha256 is {sha256} "
            f"instead of {RELEASE_SHA256}"
        )
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            if member.isfile() and (path == "LICENSE" or path.startswith("detectron2/")):
                files[path] = tar.extractfile(member).read()
    return files


def write_wheel(files: dict[str, bytes], folder: Path) -> Path:
    """Pack the release as a wheel.

    Args:
        files: the contents of the package's files, and of ``LICENSE``, by their path.
        folder: where to put the wheel.

    Returns:
        The wheel's path.
    """
    info = "detectron2-0.6.dist-info"
    changes = "".join(f"* {repair.file}: {repair.name}\n" for repair in REPAIRS)
    contents = {path: data for path, data in files.items() if path.startswith("detectron2/")}
    contents[f"{info}/LICENSE"] = files["LICENSE"]
    contents[f"{info}/METADATA"] = (RELEASE_METADATA + changes).encode()
    contents[f"{info}/WHEEL"] = WHEEL_TAGS.encode()
    record = ""
    for path, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    wheel = folder / "detectron2-0.6-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, data in contents.items():
            packed.writestr(path, data)
    return wheel


def build_release(folder: Path, timeout: float, archive: Path | None = None) -> Path:
    """Build a wheel from the repaired release.

    Args:
        folder: an empty folder to work in.
        timeout: seconds to wait for a server that doesn't answer.
        archive: a local copy of the release's source archive; without it, it is downloaded.

    Returns:
        The wheel's path, in ``folder``.

    Raises:
        InstallError: the archive can't be had, isn't the expected one, or a repair doesn't fit it.
    """
    files = read_archive(archive or download_release(folder, timeout))
    try:
        files = apply_repairs(files, REPAIRS)
    except RepairError as error:
        raise InstallError(str(error)) from error
    return write_wheel(files, folder)


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
    return found


def install(route: str, timeout: float, archive: Path | None = None) -> str:
    """Install detectron2.

    Args:
        route: one of ``ROUTES``.
        timeout: seconds to wait for a server that doesn't answer.
        archive: a local copy of the release's source archive, for the route ``pypi``.

    Returns:
        What was installed and what it lacks.

    Raises:
        InstallError: nothing was installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise InstallError("detectron2 needs torch: `pip install torch torchvision` first")
    with tempfile.TemporaryDirectory() as scratch:
        if route in ("auto", "main"):
            try:
                folder = Path(tempfile.mkdtemp(dir=scratch))
                found = install_wheel(build_main(folder, timeout))
                return (
                    f"installed detectron2 {found}\nroute main: commit {UPSTREAM_COMMIT}, complete"
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
        "instead). Dense detectors such as RetinaNet and FCOS are complete."
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--route",
        choices=ROUTES,
        help=f"where to take detectron2 from (default: the variable {ROUTE_VARIABLE}, else auto)",
    )
    parser.add_argument(
        "--archive",
        type=Path,
        help=f"a local copy of the source archive of {RELEASE}; implies --route pypi",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=15,
        metavar="SECONDS",
        help="how long to wait for a server that doesn't answer (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    route = args.route or os.environ.get(ROUTE_VARIABLE) or "auto"
    if route not in ROUTES:
        parser.error(f"{ROUTE_VARIABLE} must be one of {', '.join(ROUTES)}, not {route!r}")
    if args.archive is not None:
        if args.route not in (None, "pypi"):
            parser.error("--archive goes with --route pypi only")
        route = "pypi"
    try:
        found = find_detectron2()
        if found is not None:
            print(f"detectron2 {found} is there already: left as it is")
            return
        print(install(route, args.timeout, args.archive))
    except InstallError as error:
        sys.exit(f"error: detectron2 wasn't installed: {error}")


if __name__ == "__main__":
    main()
