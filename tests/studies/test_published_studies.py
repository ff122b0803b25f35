"""The tables in docs/studies, made again from the runs that are archived beside them."""

from pathlib import Path

import pytest

from comining.studies.plan import read_study
from comining.studies.results import read_runs
from comining.studies.table import make_rows, write_table

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted(path.parent for path in ROOT.glob("docs/studies/*/table.md"))


def test_there_are_some():
    assert len(PUBLISHED) >= 9


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_tables_follow_from_the_archived_runs(folder, tmp_path):
    study = read_study(ROOT / "configs" / "studies" / f"{folder.name}.yaml")
    runs = read_runs(study.cells, folder)
    write_table(study, make_rows(study, runs), tmp_path)
    assert (tmp_path / "table.md").read_bytes() == (folder / "table.md").read_bytes()
