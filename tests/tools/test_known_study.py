"""The files of the study of what is known of images."""

from known_study import files_of

from comining.annotations.known import known_of


def test_same_annotations_with_and_without_knowledge():
    box = {"bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}
    full = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 9, "height": 9} for i in range(20)],
        "annotations": [
            {"id": i, "image_id": i // 4, "category_id": 1 + i % 2, **box} for i in range(80)
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    files = files_of(full, "full.json")
    numbers = {name: len(x["annotations"]) for name, x in files.items()}
    # Two images are finished, of the others half of four boxes are there.
    halves = 2 * 4 + 18 * 2
    assert numbers == {
        "known": halves, "unknown": halves, "finished": 8, "sources": 40, "merged": 40,
    }  # fmt: skip
    assert len(known_of(files["known"]).finished([1, 2])) == 2
    for name, without in (("known", "unknown"), ("sources", "merged")):
        assert known_of(files[name]).is_stated
        assert not known_of(files[without]).is_stated
        assert files[without]["annotations"] == files[name]["annotations"]
    assert not known_of(files["finished"]).is_stated
