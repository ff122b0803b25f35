"""A folder that one program at a time may use."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def lock_folder(folder: Path) -> IO[str]:
    """Keep a folder from all other programs that ask for it alike.

    On a file system without locks, as some clusters have, nothing is kept from anyone.

    Returns:
        An open file. The folder is free again once it is closed here and in all processes that
        inherited it.

    Raises:
        BlockingIOError: another program has the folder.
        OSError: no file can be made in it.
    """
    file = (folder / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            file.close()
            raise
    return file
