"""What the terminal of a command shows."""

from __future__ import annotations

import contextlib
import io
import warnings


def hide_warnings_of_others() -> None:
    """Ignore, in this process, the warnings of torch that detectron2's import and anchors cause.

    Commands call this, the library does not: no user can act on them.
    """
    warnings.filterwarnings("ignore", r"torch\.meshgrid", UserWarning, r"torch\.functional")
    warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is", FutureWarning)


def hidden(quiet: bool) -> contextlib.AbstractContextManager[object]:
    """A context in which, if ``quiet``, what is printed is not shown; warnings and errors are."""
    return contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext()
