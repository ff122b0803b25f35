"""The one error type for what a user brought."""


class InputError(ValueError):
    """Something the user supplied (a file, a record in it, a setting) can't be used.

    The message names the file or setting, the offending ids and the fix. Commands print it without
    a traceback.
    """
