"""What the documentation tells users to type."""

import json
import re
from pathlib import Path

from PIL import Image

from comining.data.check import check_images, note_unlisted
from comining.data.coco_file import read_coco

ROOT = Path(__file__).parents[1]


def script(page, name):
    """The Python code that a page tells to put into a file of that name."""
    (code,) = re.findall(rf"^```python\n# {re.escape(name)}\n(.*?)^```$", page, re.M | re.S)
    return code


def test_script_that_appends_images(tmp_path, monkeypatch):
    folder = tmp_path / "mydata" / "train"
    folder.mkdir(parents=True)
    for name, size in (("listed.png", (4, 3)), ("new.png", (5, 4))):
        Image.new("RGB", size).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (3, 6)).save(folder / "turned.JPG", exif=exif)
    (folder / "notes.txt").touch()
    before = {
        "images": [{"id": 7, "file_name": "listed.png", "width": 4, "height": 3}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 1, "name": "shape"}],
    }
    (tmp_path / "mydata" / "train.json").write_text(json.dumps(before))
    monkeypatch.chdir(tmp_path)
    exec(script((ROOT / "docs" / "your_data.md").read_text(), "add_images.py"), {})
    dataset, report = read_coco("mydata/train_all.json", folder)
    check_images(dataset["images"], folder, report)
    note_unlisted(dataset["images"], folder, report)
    assert report.findings == []
    assert dataset == {
        **before,
        "images": [
            *before["images"],
            {"id": 8, "file_name": "new.png", "width": 5, "height": 4},
            {"id": 9, "file_name": "turned.JPG", "width": 6, "height": 3},
        ],
    }
