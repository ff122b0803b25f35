"""Processes that find the packages imported already.

Importing them takes longer than most of these processes run. A server imports them once in a
process of pytest, and forks for each.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.multiprocessing import start_processes

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["comining.engine"])


class Script:
    """``python WORDS``, which begin with the script."""

    def __init__(
        self, words: Sequence[object], *, cwd: Path, environment: Mapping[str, str]
    ) -> None:
        self.words = [str(word) for word in words]
        self._folder = TemporaryDirectory()
        self._outputs = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        for path in self._outputs:
            path.touch()
        arguments = self.words, cwd, dict(environment), self._outputs
        self._process = _server.Process(target=_run, args=arguments)
        self._process.start()

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def end(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Wait until it ends."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self.words, timeout)
        texts = [path.read_text() for path in self._outputs]
        self._folder.cleanup()
        return subprocess.CompletedProcess(self.words, self._process.exitcode, *texts)


def run_script(
    words: Sequence[object], *, cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a `Script` to its end."""
    return Script(words, cwd=cwd, environment=environment).end()


def in_two_processes(function: Callable[..., None], *arguments: object) -> None:
    """Call a function of a test module with 0 or 1 and the arguments, in a process each."""
    start_processes(function, arguments, nprocs=2, start_method="forkserver")


def _run(words: list[str], cwd: Path, environment: dict[str, str], outputs: list[Path]) -> None:
    for number, path in enumerate(outputs, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    multiprocessing.set_start_method(None, force=True)  # of its own processes: the usual one
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).resolve().parent))
    import torch  # the server has it

    # Which torch has read at its import.
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", torch.get_num_threads())))
    runpy.run_path(words[0], run_name="__main__")
