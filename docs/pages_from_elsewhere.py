"""Pages of the site whose text lies elsewhere in the project, with their links turned to the site.

A hook of MkDocs, named in mkdocs.yml.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"index.md": "README.md", "datasets.md": "datasets/README.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        for target, other in PAGES.items():
            text = text.replace(f"]({other})", f"]({target})")
        text = text.replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files
