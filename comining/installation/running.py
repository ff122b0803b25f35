"""Programs that ask nothing, and how they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class InstallError(Exception):
    """detectron2 can't be installed this way; the message says why."""


def run(
    command: Sequence[str | Path],
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
