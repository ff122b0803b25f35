import json

import pytest
from detectron2.utils.events import EventStorage, JSONWriter
from matplotlib.colors import to_hex
from PIL import Image

from comining.errors import InputError
from comining.studies import curves


def write_metrics(folder, *records, more=""):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record) + "\n" for record in records]
    (folder / "metrics.json").write_text("".join(lines) + more)
    return folder


@pytest.fixture
def plot(monkeypatch, tmp_path):
    """Plots trainings; returns by panel the curves, (colour, style, points), and the legend."""
    figures = []
    close = curves.plt.close
    monkeypatch.setattr(curves.plt, "close", lambda figure: (figures.append(figure), close()))

    def run(*folders, **how):
        curves.plot_runs(folders, tmp_path / "picture.png", **how)
        figure = figures.pop()
        panels = {
            axis.get_title(): [
                (to_hex(x.get_color()), x.get_linestyle(), x.get_xydata().tolist())
                for x in axis.lines
            ]
            for axis in figure.axes
        }
        (legend,) = figure.legends
        handles = legend.legend_handles
        return panels, {x.get_label(): (to_hex(x.get_color()), x.get_linestyle()) for x in handles}

    return run


BLUE, ORANGE = "#1f77b4", "#ff7f0e"


def test_quantity_that_was_never_a_number_has_no_panel(plot, tmp_path):
    """As of a model that detected nothing whenever it was evaluated."""
    run = write_metrics(
        tmp_path / "run",
        {"iteration": 19, "total_loss": 3.0},
        {"iteration": 20, "bbox/AP": float("nan"), "comining/mined_precision": float("nan")},
    )
    panels, _ = plot(run)
    assert list(panels) == ["total_loss"]


def test_each_quantity_has_a_panel_and_each_training_a_colour(plot, tmp_path):
    comining = write_metrics(
        tmp_path / "comining" / "seed0",
        {"iteration": 19, "lr": 0.1, "total_loss": 3.0, "loss_cls": 1.0, "loss_cls_aug": 2.0},
        {
            "iteration": 39,
            "total_loss": 2.5,
            "comining/mined_per_image": 0.5,
            "comining/mined_per_image_aug": 0.75,
            "comining/mined_precision": float("nan"),
            "comining/mined_precision_aug": 0.9,
            "comining/mined_recall": 0.2,
        },
        {"iteration": 40, "bbox/AP": 12.0, "bbox/AP50": 30.0, "bbox/AP-cat": 12.0},
    )
    plain = write_metrics(
        tmp_path / "plain" / "seed0",
        {"iteration": 19, "total_loss": 1.0, "loss_cls": 0.5},
        {"iteration": 40, "bbox/AP": 10.0},
    )
    panels, legend = plot(comining, plain)
    assert panels == {
        "total_loss": [(BLUE, "-", [[19, 3], [39, 2.5]]), (ORANGE, "-", [[19, 1]])],
        "loss_cls": [(BLUE, "-", [[19, 1]]), (BLUE, "--", [[19, 2]]), (ORANGE, "-", [[19, 0.5]])],
        "mined labels per image": [(BLUE, "-", [[39, 0.5]]), (BLUE, "--", [[39, 0.75]])],
        "precision of mined labels": [(BLUE, "--", [[39, 0.9]])],
        "recall of withheld objects": [(BLUE, "-", [[39, 0.2]])],
        "AP on the validation images": [(BLUE, "-", [[40, 12]]), (ORANGE, "-", [[40, 10]])],
        "AP50 on the validation images": [(BLUE, "-", [[40, 30]])],
    }
    assert {name: colour for name, (colour, _) in legend.items() if "view" not in name} == {
        "comining": BLUE,
        "plain": ORANGE,
    }
    assert legend["original view"][1] != legend["second view"][1]
    fewer, _ = plot(comining, without=["comining/mined_precision", "loss_cls"])
    assert panels.keys() - fewer.keys() == {"precision of mined labels", "loss_cls"}


def test_eleven_trainings_have_eleven_colours(plot, tmp_path):
    folders = [
        write_metrics(tmp_path / f"seed{i}", {"iteration": 19, "total_loss": i}) for i in range(11)
    ]
    panels, legend = plot(*folders)
    assert len({colour for colour, _, _ in panels["total_loss"]}) == 11
    assert list(legend) == [f"seed{i}" for i in range(11)]


def test_training_that_has_logged_nothing_yet_is_left_out(plot, tmp_path):
    started = write_metrics(tmp_path / "started")
    other = write_metrics(tmp_path / "other", {"iteration": 19, "total_loss": 3.0})
    panels, legend = plot(started, other)
    assert panels == {"total_loss": [(ORANGE, "-", [[19, 3]])]}
    assert list(legend) == ["started (nothing logged yet)", "other"]
    with pytest.raises(InputError, match=rf"nothing to plot yet in {started}"):
        plot(started)


def test_of_a_resumed_training_the_last_iterations_count(tmp_path):
    # Killed after 79, gone on from a checkpoint at 39, killed again and begun once more.
    records = [{"iteration": i, "total_loss": x} for i, x in
               ((19, 9), (39, 8), (59, 7), (79, 6), (59, 5), (69, 4), (59, 3))]  # fmt: skip
    folder = write_metrics(tmp_path, *records)
    assert [(x["iteration"], x["total_loss"]) for x in curves.read_metrics(folder)] == [
        (19, 9), (39, 8), (59, 3)
    ]  # fmt: skip


def test_what_is_logged_now_and_then_is_no_resumption(tmp_path):
    """detectron2 writes it in lines of its own, behind that of the losses or before it."""
    for start, end, loss in ((0, 160, 9), (100, 140, 5)):
        writer = JSONWriter(tmp_path / "metrics.json")
        with EventStorage(start) as storage:
            for iteration in range(start, end):
                storage.iter = iteration
                if iteration in (50, 100, 150):
                    storage.put_scalar("comining/mined_of_class/cat", iteration + loss)
                storage.put_scalar("total_loss", loss)
                if (iteration + 1) % 20 == 0:
                    writer.write()
        writer.close()
    lines = (tmp_path / "metrics.json").read_text().splitlines()
    first_run = [19, 39, 59, 50, 79, 99, 119, 100, 139, 159, 150]
    assert [json.loads(line)["iteration"] for line in lines] == [*first_run, 100, 119, 139]
    records = {x.pop("iteration"): x for x in curves.read_metrics(tmp_path)}
    losses, late = ({i: x[key] for i, x in records.items() if key in x}
                    for key in ("total_loss", "comining/mined_of_class/cat"))  # fmt: skip
    assert losses == {19: 9, 39: 9, 59: 9, 79: 9, 99: 9, 119: 5, 139: 5}
    assert late == {50: 59, 100: 105}
    assert list(records) == [19, 39, 50, 59, 79, 99, 100, 119, 139]


def test_damaged_lines_are_left_out(tmp_path, capsys):
    record = {"iteration": 19, "total_loss": 3.0}
    folder = write_metrics(tmp_path, record, more='[1]\n{"total_loss": 1}\n{"iteration": 39, "to')
    assert curves.read_metrics(folder) == [record]
    assert f"{folder / 'metrics.json'}: damaged lines left out: 2, 3, 4" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\x00\xff\x80", b"hello\n"])
def test_file_that_holds_no_records(content, tmp_path):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged"):
        curves.read_metrics(tmp_path)


def test_folder_without_a_training(tmp_path):
    with pytest.raises(InputError, match=r"metrics\.json does not exist"):
        curves.read_metrics(tmp_path)


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["/o/demo"], ["demo"]),
        (["/o/hard/plain/seed0", "/o/hard/comining/seed0"], ["plain", "comining"]),
        (["/o/hard/a/seed0", "/o/easy/b/seed1"], ["hard/a/seed0", "easy/b/seed1"]),
        (["/o/a", "/o/a/b"], ["a", "a/b"]),
    ],
)
def test_labels_are_what_tells_folders_apart(folders, labels):
    assert curves.short_labels(list(map(curves.Path, folders))) == labels


def test_pictures_of_one_training_are_in_its_folder(command_line, tmp_path):
    run = write_metrics(tmp_path / "run", {"iteration": 19, "total_loss": 3.0})
    printed = command_line("plot", run).output
    assert printed.splitlines() == [str(run / "curves.png"), str(run / "curves.svg")]
    with Image.open(run / "curves.png") as picture:
        assert picture.width > picture.height > 200
    assert "<svg" in (run / "curves.svg").read_text()


def test_pictures_of_several_trainings(command_line, tmp_path):
    runs = [write_metrics(tmp_path / x, {"iteration": 19, "total_loss": 3.0}) for x in "ab"]
    command_line("plot", runs[0])
    of_one = (runs[0] / "curves.png").read_bytes()
    wanted = [str(runs[0] / "comparison.png"), str(runs[0] / "comparison.svg")]
    assert command_line("plot", *runs).output.splitlines() == wanted
    assert (runs[0] / "curves.png").read_bytes() == of_one
    command_line("plot", *runs, "--output", tmp_path / "new" / "v1.2.svg")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["v1.2.png", "v1.2.svg"]


def test_error_ends_the_command(command_line, tmp_path):
    run = write_metrics(tmp_path / "run", {"iteration": 19, "total_loss": 3.0})
    done = command_line("plot", run, "--output", run / "metrics.json" / "curves")
    assert done.exit_code == 2
    assert "metrics.json can't be written" in done.stderr
