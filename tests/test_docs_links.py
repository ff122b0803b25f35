"""Links of the documentation and paths that it names, without a network.

`make docs` checks those between its own pages.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "datasets" / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
LINK = re.compile(r"\]\(([^)]*)\)|<(https?:[^>]*)>|^\[[^\]]+\]: (.*)$", re.M)
#: What is named by a reference, to be found at the end of the page.
REFERENCE = re.compile(r"\[[^\]\"]+\]\[([^\]\"]+)\]")
#: Commands, configs, and files and folders of the project between backticks.
NAMED = re.compile(
    r"(?:(?<=python )(?:datasets|tools)/[\w/]+|(?<![\w./-])configs/[\w./-]+)\.(?:py|yaml)"
    r"|(?<=`)(?:comining|tests|tools|docs|configs)/(?:[\w./]*(?:\.\w+|/))?(?=`)"
)


def problems(text: str, folder: Path) -> list[str]:
    """The links of a Markdown text in a folder that lead nowhere, as far as can be told here."""
    links = ["".join(found) for found in LINK.findall(text)]
    bad = [link for link in links if not (is_address(link) or is_local(link, folder))]
    bad += [name for name in REFERENCE.findall(text) if f"\n[{name}]: " not in text]
    return bad + [name for name in NAMED.findall(text) if not (ROOT / name).exists()]


def is_address(link: str) -> bool:
    parts = urlsplit(link)
    has_host = re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc) is not None
    return parts.scheme == "https" and has_host and not re.search(r"[\s\"<>]", link)


def is_local(link: str, folder: Path) -> bool:
    path = link.partition("#")[0]
    if not path:
        return link.startswith("#")
    target = (folder / path).resolve()
    return ":" not in path and target.is_relative_to(ROOT) and target.exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert problems(page.read_text(encoding="utf-8"), page.parent) == []


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("[a](docs/training.md#x), [b](#there), <https://pypi.org/project/globox/>", []),
        ("[a](docs/gone.md)", ["docs/gone.md"]),
        ("[a](../elsewhere)", ["../elsewhere"]),
        ("[a](http://arxiv.org/abs/1)", ["http://arxiv.org/abs/1"]),
        ("[a](https:/arxiv.org/abs/1)", ["https:/arxiv.org/abs/1"]),
        ("[a](https://arxiv/abs/1)", ["https://arxiv/abs/1"]),
        ("[a](https://arxiv.org/abs /1)", ["https://arxiv.org/abs /1"]),
        ("[a]()", [""]),
        ("python tools/benchmark.py; python tools/gone.py", ["tools/gone.py"]),
        ("[a][b], [c][d]\n\n[b]: docs/training.md", ["d"]),
        ("[a][b]\n\n[b]: docs/gone.md", ["docs/gone.md"]),
        ("`comining/modeling/losses.py`, `comining/gone.py`", ["comining/gone.py"]),
        ("configs/demo.yaml, `configs/lazy/gone.py`, my.yaml", ["configs/lazy/gone.py"]),
    ],
)
def test_what_leads_nowhere_is_found(text, bad):
    assert problems(text, ROOT) == bad
