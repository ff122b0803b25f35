"""The page of the commands, made from what they say of themselves.

A hook of MkDocs, named in mkdocs.yml.
"""

from __future__ import annotations

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from comining.cli import COMMANDS, main

PAGE = "commands.md"
HEAD = """# Commands

What `comining COMMAND --help` says. A shell completes commands and options after
`eval "$(_COMINING_COMPLETE=bash_source comining)"` (`zsh_source`, `fish_source`).

**Exit codes**: 0; 1 if what is named failed; 2 for wrong use or unusable input.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """Every command with its help, in the order of ``comining --help``."""
    group = click.Context(main, info_name="comining", **main.context_settings)
    sections = [HEAD]
    for name in COMMANDS:
        command = main.get_command(group, name)
        assert command is not None
        context = click.Context(
            command, parent=group, info_name=name, max_content_width=88, terminal_width=88
        )
        sections.append(f"## comining {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(sections)
