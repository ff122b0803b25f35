"""The pages of the documentation: how long they are, what they hold, and their example."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comining.completion import work
from comining.completion.complete import complete
from comining.engine.miner import Mined

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/log/*.md")])


def words(text):
    """The number of words, in numbers and letters."""
    return len(re.findall(r"[^\W_][\w'.,-]*", text))


@pytest.mark.parametrize(
    ("page", "most"),
    [(ROOT / "README.md", 700), *((page, 900) for page in PAGES)],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_pages_are_short(page, most):
    prose = "\n".join(x for x in page.read_text().splitlines() if not x.startswith("|"))
    assert words(prose) <= most


def test_every_page_is_in_the_navigation():
    named = re.findall(r"([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert len(named) == len(set(named))
    assert {str(page.relative_to(ROOT / "docs")) for page in PAGES} <= set(named)


def test_every_entry_of_the_log_is_listed():
    listed = (ROOT / "docs" / "log" / "README.md").read_text()
    for page in ROOT.glob("docs/log/*.md"):
        assert page.name == "README.md" or f"]({page.name})" in listed


def test_readme_gives_the_numbers_of_the_studies():
    readme = (ROOT / "README.md").read_text()
    rows = (ROOT / "docs" / "studies" / "trunk_2000" / "table.md").read_text().splitlines()
    cells = [[x.strip() for x in row.split("|")] for row in rows[2:]]
    measured = {(row[1], row[2]): row[4] for row in cells}
    for method, name in (
        ("plain", "plain RetinaNet"),
        ("two_views", "two views, nothing mined"),
        ("ignoring", "adaptive thresholds, ignoring alone"),
        ("adaptive", "adaptive thresholds, ignoring and mining"),
    ):
        numbers = [measured.get((protocol, method), "") for protocol in ("full", "hard", "extreme")]
        assert f"| {name} | {' | '.join(numbers)} |".replace("|  |", "| |") in readme


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Photographs with annotations in the current folder, and a plan for a short training."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    dataset = {"images": [], "annotations": [], "categories": [{"id": 5, "name": "cat"}]}
    for id_ in range(1, 4):
        pixels = np.random.default_rng(id_).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{id_}.png")
        dataset["images"].append(
            {"id": id_, "file_name": f"{id_}.png", "width": 64, "height": 48}
        )  # fmt: skip
        dataset["annotations"] += [
            {"id": 10 * id_ + x, "image_id": id_, "category_id": 5, "area": 64, "iscrowd": 0,
             "bbox": [9 * x, 8, 8, 8]} for x in range(7)
        ]  # fmt: skip
    Path("half_annotated.json").write_text(json.dumps(dataset))


def test_python_example(photos, monkeypatch, capsys):
    def found(*_):
        known = [[9.0 * x, 8, 9.0 * x + 8, 16] for x in range(7)]
        one = Mined([[20.0, 30, 32, 40], *known], [0] * 8, [0.9] * 8, [True] + [False] * 7)
        return dict.fromkeys((1, 2, 3), one), {}

    monkeypatch.setattr(work, "mine", found)
    monkeypatch.setattr(work, "train_detector", lambda *_: None)
    complete("photos", "half_annotated.json", "my_completed", device="cpu", dry_run=True)
    pace = {"iterations": 1, "training": 1, "mining": 1, "why": "a test"}
    Path("my_completed/pace.json").write_text(json.dumps(pace))
    Path("my_completed/training").mkdir()
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "complete.md").read_text(), re.DOTALL
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cat 21 annotated, 3 added"
    assert lines[1] == "share of the withheld boxes that was found: 1.0"
    assert lines[2:] == [f"{id_}.png [[20. 30. 32. 40.]] [0.9] [0]" for id_ in (1, 2, 3)]
