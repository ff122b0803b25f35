"""The errors that commands tell in one line."""


class InputError(ValueError):
    """Something the user supplied (a file, a record in it, a setting) can't be used.

    The message names the file or setting, the offending ids and the fix. Commands print it without
    a traceback.
    """


class ResultError(RuntimeError):
    """What was made isn't what it must be, so that nothing is written."""


class PartialError(InputError):
    """All was done but for some items, which the message names."""
