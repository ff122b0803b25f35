"""``comining install-detectron2``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from comining.installation.detectron2 import ROUTE_VARIABLE, ROUTES, install
from comining.installation.release import RELEASE
from comining.installation.running import InstallError


@click.command(short_help="Install detectron2, which no package index has.")
@click.option(
    "--route",
    type=click.Choice(ROUTES),
    default="auto",
    envvar=ROUTE_VARIABLE,
    show_default=True,
    show_envvar=True,
    help="Where to take detectron2 from.",
)
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    help=f"A local copy of the source archive of {RELEASE}; implies --route pypi.",
)
@click.option(
    "--timeout",
    type=float,
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a server that doesn't answer.",
)
@click.pass_context
def command(ctx: click.Context, route: str, archive: Path | None, timeout: float) -> None:
    """Install detectron2, which the package needs and no package index has.

    An importable one is left alone. Route main builds a recent commit of upstream's repository,
    which needs git, a C++ compiler and access to GitHub. Route pypi takes the 0.6 release as plain
    Python, repaired for today's libraries: it lacks the compiled operators, which dense detectors
    don't use. The default tries main and then pypi.
    """
    if archive is not None:
        given = ctx.get_parameter_source("route") is click.core.ParameterSource.COMMANDLINE
        if given and route != "pypi":
            raise click.UsageError("--archive goes with --route pypi only")
        route = "pypi"
    try:
        click.echo(install(route, timeout, archive))
    except InstallError as error:
        sys.exit(f"error: detectron2 wasn't installed: {error}")
