"""The command ``comining``: one short module for each of its commands."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any, NoReturn

import click

from comining.console import hide_warnings_of_others
from comining.errors import InputError, PartialError, ResultError

#: In the order of ``comining --help``; each stands in the module of its name.
COMMANDS = (
    "complete",
    "audit",
    "mine",
    "review",
    "accept",
    "check",
    "convert",
    "annotate-known",
    "sparsify",
    "prepare",
    "train",
    "evaluate",
    "predict",
    "export",
    "show",
    "plot",
    "study",
    "demo",
    "install-detectron2",
)
_GOES_ON = "the same command goes on from here"
#: By command, how to go on after an interruption.
_AFTER_INTERRUPTION = {
    "complete": _GOES_ON,
    "demo": _GOES_ON,
    "mine": _GOES_ON,
    "study": _GOES_ON,
    "train": "--resume goes on from the last checkpoint",
}


class Commands(click.Group):
    """Imports a command's module when it is asked for, and ends errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"comining.cli.{cmd_name.replace('-', '_')}").command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The usage tells the two options; all the rest is to fit on one screen.
        self.format_commands(ctx, formatter)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        hide_warnings_of_others()
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly: who reads the output, such as head, has seen enough
        except (PartialError, ResultError, FloatingPointError, OSError) as error:
            _end(error, 1)
        except InputError as error:
            _end(error, 2)
        except ImportError as error:
            if not (error.name or "").startswith("detectron2"):
                raise
            _end("this needs detectron2; `comining install-detectron2` installs it", 2)
        except KeyboardInterrupt:
            hint = _AFTER_INTERRUPTION.get(ctx.invoked_subcommand or "")
            print("\ninterrupted" + (f": {hint}" if hint else ""), file=sys.stderr)
            sys.exit(130)


def _end(error: Exception | str, code: int) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


@click.group(
    cls=Commands,
    options_metavar="[-h] [--version]",
    subcommand_metavar="COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="comining")
def main() -> None:
    """Find the boxes that are missing. Exit code 1: failed; 2: unusable input."""
