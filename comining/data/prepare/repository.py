"""The files of a public repository at one commit: downloaded or at hand, and verified."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from comining.errors import InputError

_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Repository:
    """Files of a GitHub repository at a pinned commit.

    Attributes:
        name: ``owner/name``.
        commit: 40 hexadecimal digits.
        pattern: regular expression that the whole path of a used file matches, ``/`` between
            folders. What doesn't match is neither read nor verified.
        num_files: how many files match.
        sha256: `digest` of these files.
        site: what the archive's address begins with.
    """

    name: str
    commit: str
    pattern: str
    num_files: int
    sha256: str
    site: str = "https://codeload.github.com"

    @property
    def short_name(self) -> str:
        """The name without its owner: that of the folder which `git clone` makes."""
        return self.name.split("/")[1]

    @property
    def archive_url(self) -> str:
        return f"{self.site}/{self.name}/tar.gz/{self.commit}"

    def record(self) -> dict[str, str]:
        """What tells where data come from, for `info` and recipes."""
        return {
            "repository": f"https://github.com/{self.name}",
            "commit": self.commit,
            "files_sha256": self.sha256,
        }


def used_files(folder: Path, pattern: str) -> dict[str, Path]:
    """The files below a folder whose path, relative and with ``/``, matches; sorted by it."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: paths[name]
        for name in sorted(paths)
        if re.fullmatch(pattern, name) and paths[name].is_file()
    }


def digest(files: dict[str, Path]) -> str:
    """Hash names and contents of files.

    Returns:
        The hexadecimal SHA-256 of one line per file, ``<git blob id> <path>\\n``, sorted by path;
        so `git ls-tree -r` tells it as well.
    """
    lines = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        lines.update(f"{blob.hexdigest()} {name}\n".encode())
    return lines.hexdigest()


@contextmanager
def checkout(
    repository: Repository, source: Path | None, beside: Repository | None = None
) -> Iterator[Path]:
    """Give a folder that holds a repository's files, verified.

    Args:
        repository: what is wanted.
        source: a checkout of the repository, or a folder that holds it as a subfolder of the
            repository's name; None downloads the archive into a temporary folder.
        beside: another one that is needed; then ``source`` is a folder that holds both.

    Raises:
        InputError: no network, or `source` doesn't hold the files of that commit.
    """
    if source is not None:
        folder = source / repository.short_name
        folder = folder if folder.is_dir() else source
        _verify(repository, folder, beside)
        yield folder
        return
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _download(repository, folder, beside)
        _verify(repository, folder, beside)
        yield folder


def _place(repository: Repository, beside: Repository | None) -> str:
    """How a checkout is given."""
    if beside is None:
        return f"name it with --source, or a folder that holds it as {repository.short_name}"
    names = f"{repository.short_name} and {beside.short_name}"
    return f"name with --source a folder that holds {names}, a checkout of each"


def _verify(repository: Repository, folder: Path, beside: Repository | None) -> None:
    fix = (
        f"take a checkout of https://github.com/{repository.name} at commit {repository.commit}, "
        "laid out as it is there, without conversion of line ends, and "
        f"{_place(repository, beside)}"
    )
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {fix}")
    files = used_files(folder, repository.pattern)
    if len(files) != repository.num_files:
        raise InputError(
            f"{folder} holds {len(files)} files of the kinds that are used; {repository.name} "
            f"has {repository.num_files}; {fix}"
        )
    found = digest(files)
    if found != repository.sha256:
        raise InputError(
            f"{folder}: the files differ from those of {repository.name}: their hash is {found}, "
            f"expected {repository.sha256}; {fix}"
        )


def _download(repository: Repository, folder: Path, beside: Repository | None) -> None:
    """Download the archive and unpack the used files."""
    archive_file = folder / "archive.tar.gz"
    try:
        with (
            urllib.request.urlopen(repository.archive_url, timeout=_TIMEOUT) as answer,
            archive_file.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
        with tarfile.open(archive_file) as archive:
            for member in archive:
                # GitHub puts everything into one folder.
                name = member.name.partition("/")[2]
                content = archive.extractfile(member) if member.isfile() else None
                if content and re.fullmatch(repository.pattern, name):
                    target = folder / name
                    if ".." in target.parts:
                        raise InputError(f"{repository.archive_url}: bad path {member.name}")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
    except (OSError, HTTPException, EOFError, tarfile.TarError, zlib.error) as error:
        clones = "; ".join(
            f"`git clone https://github.com/{x.name}` and `git checkout {x.commit}`"
            for x in (repository, beside)
            if x is not None
        )
        raise InputError(
            f"{repository.archive_url} can't be downloaded: {error}\n"
            f"Check the network, or bring a checkout from a machine that has one ({clones}) and "
            f"{_place(repository, beside)}"
        ) from error
    archive_file.unlink()
