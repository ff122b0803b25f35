import json

import pytest

from comining.data.sparse import make_sparse
from comining.data.withheld import withheld_annotations
from comining.errors import InputError

FULL = {
    "images": [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
        {"id": id_, "image_id": image, "category_id": 1, "bbox": [0, 0, 5, id_], "iscrowd": 0}
        for id_, image in ((1, 1), (2, 1), (3, 1), (4, 2))
    ],
}


def write_pair(folder, **options):
    sparse = make_sparse(FULL, "extreme", seed=0, file_name="full.json", **options)
    (folder / "full.json").write_text(json.dumps(FULL))
    (folder / "sparse.json").write_text(json.dumps(sparse))
    return sparse


def test_what_the_sparse_file_lacks(tmp_path):
    (kept,) = [
        a["id"] for a in write_pair(tmp_path, record_name=True)["annotations"] if a["id"] < 4
    ]
    withheld = withheld_annotations(tmp_path / "sparse.json")
    assert withheld == {1: [a for a in FULL["annotations"][:3] if a["id"] != kept]}


def test_original_not_recorded(tmp_path):
    write_pair(tmp_path)
    with pytest.raises(InputError, match="--record-name"):
        withheld_annotations(tmp_path / "sparse.json")


def test_original_not_there(tmp_path):
    write_pair(tmp_path, record_name=True)
    (tmp_path / "full.json").unlink()
    with pytest.raises(InputError, match=r"full\.json: put that beside it"):
        withheld_annotations(tmp_path / "sparse.json")
