"""What became of a review, as `accept` and `review` print it."""

from pathlib import Path

import click


def echo_accepted(path: Path, counts: dict[str, int], number: int, hints: list[str]) -> None:
    """Print what became of the boxes of a review, where the result is, and what to know of it."""
    for name in filter(counts.get, counts):
        click.echo(f"{name:38}{counts[name]:8}")
    click.echo("\n".join([f"{'boxes in the result':38}{number:8}", str(path), *hints]))
