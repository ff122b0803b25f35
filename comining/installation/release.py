"""detectron2's 0.6 release as found on PyPI, repaired and packed as plain Python."""

from __future__ import annotations

import base64
import hashlib
import sys
import tarfile
import zipfile
from pathlib import Path

from .repairs import REPAIRS, RepairError, apply_repairs
from .running import InstallError, run

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
    command: list[str | Path] = [*pip, "install", *network, "--target", downloader, DOWNLOADER]
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
                with tar.extractfile(member) as opened:  # type: ignore[union-attr]
                    files[path] = opened.read()
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
