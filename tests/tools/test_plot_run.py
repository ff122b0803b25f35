import json

import plot_run
import pytest
from PIL import Image

from comining.errors import InputError


def write_metrics(folder):
    records = [
        {"iteration": i, "total_loss": 3.0 - i / 10, "comining/mined_per_image": i / 2, "lr": 0.1}
        for i in range(0, 20, 5)
    ]
    records.append({"iteration": 19, "bbox/AP": 12.0, "bbox/AP50": 30.0})
    (folder / "metrics.json").write_text("\n".join(map(json.dumps, records)))


def test_one_panel_for_each_kind_of_curve(tmp_path, monkeypatch):
    write_metrics(tmp_path)
    drawn = {}
    save = plot_run.plt.Figure.savefig

    def remember(figure, *args, **kwargs):
        for axis in figure.axes:
            drawn[axis.get_title()] = {
                line.get_label(): line.get_xydata().tolist() for line in axis.lines
            }
        save(figure, *args, **kwargs)

    monkeypatch.setattr(plot_run.plt.Figure, "savefig", remember)
    plot_run.plot_run(tmp_path, tmp_path / "curves.png")
    assert drawn == {
        "loss": {"total_loss": [[0, 3.0], [5, 2.5], [10, 2.0], [15, 1.5]]},
        "mined boxes per image": {
            "comining/mined_per_image": [[0, 0], [5, 2.5], [10, 5.0], [15, 7.5]]
        },
        "AP on the validation images": {"bbox/AP": [[19, 12]], "bbox/AP50": [[19, 30]]},
    }
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height


def test_folder_without_a_training(tmp_path):
    with pytest.raises(InputError, match=r"metrics\.json does not exist"):
        plot_run.read_metrics(tmp_path)
