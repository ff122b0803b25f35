"""Pages of the site whose text lies elsewhere in the project, with their links turned to the site.

A hook of MkDocs, named in mkdocs.yml.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "index.md": "README.md",
    "datasets.md": "datasets/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
}
PLACES = {source: f"docs/{page}" for page, source in PAGES.items()}
#: A link, or the target that a reference stands for; not one to another site or within the page.
LINK = re.compile(r"(\]\(|^\[[^\]]+\]: )(?!\w+:|#)([^)\s#]+)", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in PAGES.items():
        text = turned((ROOT / source).read_text(encoding="utf-8"), source, f"docs/{page}")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.file.src_uri in PAGES:
        return markdown
    place = f"docs/{page.file.src_uri}"
    return turned(markdown, place, place)


def turned(text: str, source: str, page: str) -> str:
    """A text with its relative links as they are on the page; both paths are from the root."""

    def turn(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        target = PLACES.get(target, target)
        return link[1] + posixpath.relpath(target, posixpath.dirname(page))

    return LINK.sub(turn, text)
