"""What came out of a study, with values computed by hand."""

import csv
import math

import pytest

from comining.studies import plots
from comining.studies.plots import mean_curve, plot_study
from comining.studies.results import METRICS, Run, at_end, lowest_precision, mining_curves
from comining.studies.table import Spread, gap_closed, make_rows, spread, write_runs, write_table

PRECISION, PER_IMAGE = "comining/mined_precision", "comining/mined_per_image"


def run(protocol, method, seed, ap, minutes=2.0, **mining):
    values = dict.fromkeys(METRICS)
    values.update(AP=ap, AP50=2 * ap, AP75=ap / 2, minutes=minutes, **mining)
    curves = {"mined_precision": {}, "mined_recall": {}, "mined_per_image": {}}
    if mining:
        curves["mined_precision"] = {9: mining["mined_precision"] / 2, 19: 0.5}
    return Run(protocol, method, seed, values, curves)


@pytest.fixture
def runs():
    """Of (comining, hard), the mined boxes of one run are not known."""
    return [
        run("full", "plain", 0, 40.0),
        run("full", "plain", 1, 44.0),
        run("hard", "plain", 0, 30.0),
        run("hard", "plain", 1, 34.0),
        run("hard", "comining", 0, 34.0, minutes=5.0, mined_precision=0.75, mined_per_image=1.5),
        run("hard", "comining", 1, 42.0, minutes=7.0),
    ]


def test_mean_and_sample_deviation():
    assert spread([1.0, None, 3.0]) == Spread(2.0, pytest.approx(2**0.5))
    assert spread([5.0]) == Spread(5.0, None)
    assert spread([None]) is None


def test_gap_closed():
    # The control loses 10 on either seed; the method wins back 4 and 8.
    closed = gap_closed({0: 34, 1: 42}, {0: 30, 1: 34}, {0: 40, 1: 44})
    assert closed == Spread(pytest.approx(0.6), pytest.approx(0.2 * 2**0.5))


def test_the_same_share_of_different_gaps_has_no_deviation():
    control, full = {0: 30, 1: 38}, {0: 40, 1: 44}
    assert gap_closed(full, control, full) == Spread(1, pytest.approx(0, abs=1e-9))
    closed = gap_closed({0: 35, 1: 41}, control, full)
    assert closed == Spread(pytest.approx(0.5), pytest.approx(0, abs=1e-9))
    # Won back: 5 of 10 and 4 of 6, so 9 of 16; 5.625 and 3.375 of these would be the mean share.
    closed = gap_closed({0: 35, 1: 42}, control, full)
    assert closed == Spread(pytest.approx(9 / 16), pytest.approx(0.625 * 2**0.5 / 8))


def test_gap_is_that_of_common_seeds():
    # Seed 0 alone: (33 - 30) / (42 - 30).
    closed = gap_closed({0: 33, 1: 99}, {0: 30, 2: 1}, {0: 42, 1: 50})
    assert closed == Spread(0.25, None)
    assert gap_closed({0: 33}, {1: 30}, {0: 42}) is None


def test_one_seed_with_a_small_gap_does_not_dominate():
    # Lost: 1 and 9, 5 on average; won: 2 and 3.
    closed = gap_closed({0: 32, 1: 33}, {0: 30, 1: 30}, {0: 31, 1: 39})
    assert closed.mean == pytest.approx(0.5)


def test_no_gap_where_the_control_loses_nothing():
    assert gap_closed({0: 33}, {0: 42}, {0: 42}) is None
    assert gap_closed({0: 33}, {0: 43}, {0: 42}) is None


def test_rows(study, runs):
    rows = make_rows(study(controls=["plain"]), runs)
    by_name = {(row.protocol, row.method): row for row in rows}
    assert sorted(by_name) == [("full", "plain"), ("hard", "comining"), ("hard", "plain")]
    row = by_name["hard", "comining"]
    assert row.number == 2
    assert row.metrics["AP"] == Spread(38.0, pytest.approx(32**0.5))
    assert row.metrics["AP50"].mean == 76
    assert row.metrics["mined_precision"] == Spread(0.75, None)
    assert row.metrics["mined_recall"] is None
    assert row.metrics["minutes"].mean == 6
    assert row.gaps["plain"].mean == pytest.approx(0.6)
    assert by_name["hard", "plain"].gaps["plain"] is None
    assert by_name["full", "plain"].gaps["plain"] is None


def test_tables(study, runs, tmp_path):
    planned = study(controls=["plain"])
    write_table(planned, make_rows(planned, runs), tmp_path)
    write_runs(planned, runs, tmp_path)

    lines = (tmp_path / "table.md").read_text().splitlines()
    table = [[word.strip() for word in line.strip("|").split("|")] for line in lines]
    header = table[0]
    (row,) = [dict(zip(header, line, strict=True)) for line in table if "comining" in line]
    assert row == {
        "protocol": "hard",
        "method": "comining",
        "runs": "2",
        "AP": "38.0 ± 5.7",
        "AP50": "76.0 ± 11.3",
        "AP75": "19.0 ± 2.8",
        "mined: precision, %": "75.0",
        "mined per image": "1.50",
        "minutes": "6.0 ± 1.4",
        "gap closed from plain, %": "60 ± 28",
    }  # recall, which no run has, has no column

    with (tmp_path / "table.csv").open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["method"] == "comining"]
    assert float(row["AP_std"]) == pytest.approx(32**0.5)
    assert (row["mined_precision_mean"], row["mined_precision_std"]) == ("0.75", "")
    assert row["mined_recall_mean"] == ""
    assert float(row["gap_plain_mean"]) == pytest.approx(0.6)

    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[4]["seed"] == "0"
    assert rows[4]["mined_per_image"] == "1.5"
    assert rows[5]["minutes"] == "7.0"


def test_costs_and_what_is_found(study, runs, tmp_path):
    """Relative to the run of the same seed; runs from before they were recorded have none."""
    planned = study(costs="plain")
    runs[2].values.update(seconds=2.0, memory=100.0)
    runs[3].values.update(seconds=3.0, memory=100.0)
    runs[4].values.update(seconds=3.0, memory=150.0, found=0.25)
    runs[5].values.update(seconds=6.0)
    rows = make_rows(planned, runs)
    (row,) = [row for row in rows if row.method == "comining"]
    assert row.metrics["seconds"] == Spread(1.75, pytest.approx(0.25 * 2**0.5))
    assert row.metrics["memory"] == Spread(1.5, None)
    write_table(planned, rows, tmp_path)
    write_runs(planned, runs, tmp_path)
    header = (tmp_path / "table.md").read_text().splitlines()[0].split("|")
    assert [word.strip() for word in header[-4:-1]] == [
        "found at precision 0.9, %", "time, x plain", "memory, x plain"
    ]  # fmt: skip
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[4]["found"], rows[4]["seconds"], rows[5]["memory"]) == ("0.25", "3.0", "")
    assert make_rows(study(), runs)[0].metrics.keys() == {*METRICS, "found"}


def test_curves_are_means_over_the_branches():
    records = [
        {"iteration": 19, PRECISION: 0.5, f"{PRECISION}_aug": 0.75, PER_IMAGE: 2.0},
        {"iteration": 39, PRECISION: float("nan"), f"{PRECISION}_aug": 0.25},
        {"iteration": 59, PRECISION: float("nan")},
        {"iteration": 59, "bbox/AP": 30.0},
    ]
    assert mining_curves(records) == {
        "mined_precision": {19: 0.625, 39: 0.25},
        "mined_recall": {},
        "mined_per_image": {19: 2.0},
    }


def test_end_of_a_training_is_its_last_tenth():
    curve = {79: 10.0, 89: 20.0, 95: 1.0, 99: 2.0}
    assert at_end(curve, 100) == 1.5
    assert at_end({1: 3.0}, 2) == 3.0
    assert at_end({79: 10.0}, 100) is None


def test_lowest_precision_counts_from_the_hundredth_box_on():
    aug = f"{PRECISION}_aug"
    records = [
        {"iteration": 9, PER_IMAGE: 1.0, f"{PER_IMAGE}_aug": 1.5, PRECISION: 0.1},  # 2.5 * 4 * 10
        {"iteration": 14, PER_IMAGE: 1.0, PRECISION: 0.9, aug: 0.7},  # 20 more
        {"iteration": 19, PER_IMAGE: 0.0, PRECISION: float("nan"), aug: 0.8},
        {"iteration": 24, PRECISION: 0.2},
    ]
    assert lowest_precision(records, 4) == 0.7
    assert lowest_precision(records[:1], 4) is None
    assert lowest_precision(records[:1], 5) == 0.1
    assert lowest_precision([{"iteration": 9}], 4) is None


def test_mean_curve():
    assert mean_curve([{19: 2.0, 9: 1.0}, {19: 4.0, 29: 3.0}]) == {9: 1.0, 19: 3.0, 29: 3.0}


def test_pictures_drawn_again_are_the_same_files(study, runs, tmp_path):
    planned = study()
    rows = make_rows(planned, runs)
    first, again = (
        [path.read_bytes() for path in plot_study(planned, rows, runs, tmp_path)] for _ in range(2)
    )
    assert first == again


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, of each picture one per format."""
    figures = []
    save = plots.plt.Figure.savefig

    def remember(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(plots.plt.Figure, "savefig", remember)
    return figures


def test_pictures(study, runs, tmp_path, drawn):
    planned = study()
    written = plot_study(planned, make_rows(planned, runs), runs, tmp_path)
    assert [path.name for path in written] == ["ap.png", "ap.svg", "mining.png", "mining.svg"]
    assert all(path.stat().st_size > 1000 for path in written)

    ap, mining = drawn[0].axes[0], drawn[2]
    heights = {
        bars.get_label(): sorted(bar.get_height() for bar in bars.patches)
        for bars in ap.containers
        if hasattr(bars, "patches") and bars.patches
    }
    assert heights == {"plain": [32, 42], "comining": [38]}
    # From one standard deviation below the mean to one above: full 40 and 44, hard 30 and 34.
    lines = [bars.lines[2][0] for bars in ap.containers if bars.get_label() == "_nolegend_"]
    spans = sorted(float(segment[1][1] - segment[0][1]) for segment in lines[0].get_segments())
    assert spans == pytest.approx([2 * 8**0.5] * 2)
    # One panel: nothing but the precision on hard has a curve.
    (panel,) = mining.axes
    assert panel.get_ylabel() == "hard"
    (line,) = panel.lines
    assert line.get_xydata().tolist() == [[9, 0.375], [19, 0.5]]


def test_curves_of_several_seeds_are_drawn_under_their_mean(study, tmp_path, drawn):
    # The first protocol knows the second method alone.
    runs = [
        run("full", "comining", 0, 1.0, mined_precision=0.5),
        run("hard", "plain", 0, 1.0, mined_precision=0.2),
        run("hard", "plain", 1, 1.0, mined_precision=0.6),
    ]
    planned = study()
    plot_study(planned, make_rows(planned, runs), runs, tmp_path)
    mining = drawn[2]
    full, hard = mining.axes
    assert [list(line.get_ydata()) for line in full.lines] == [[0.25, 0.5]]
    assert [list(line.get_ydata()) for line in hard.lines] == [[0.1, 0.5], [0.3, 0.5], [0.2, 0.5]]
    assert [text.get_text() for text in mining.legends[0].texts] == ["plain", "comining"]


def test_single_run_has_no_error_bar(study, runs, tmp_path, drawn):
    """One of length 0 would say that its runs do not differ."""
    planned = study()
    plot_study(planned, make_rows(planned, runs[:1]), runs[:1], tmp_path)
    (bars,) = [bars for bars in drawn[0].axes[0].containers if bars.get_label() == "_nolegend_"]
    (segment,) = bars.lines[2][0].get_segments()
    assert all(math.isnan(height) for _, height in segment) or len(segment) == 0


def test_nothing_to_draw(study, tmp_path):
    assert plot_study(study(), [], [], tmp_path) == []
    write_table(study(), [], tmp_path)
    assert "protocol" in (tmp_path / "table.md").read_text()
