import pytest

from comining.counted import counted


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("images", "image"),
        ("boxes", "box"),
        ("categories", "category"),
        ("classes", "class"),
        ("pixels wide", "pixel wide"),
        ("annotated boxes", "annotated box"),
        ("were added", "was added"),
        ("predictions: left out", "prediction: left out"),
        ("boxes lie outside their image: dropped", "box lies outside its image: dropped"),
        ("images are there: append them to 'images'", "image is there: append it to 'images'"),
        ("image ids occur twice", "image id occurs twice"),
        ("images have no 'id'", "image has no 'id'"),
        ("images can't be read", "image can't be read"),
        (
            "annotations of images that are gone: dropped",
            "annotation of images that are gone: dropped",
        ),
        ("classes are named by /the ir/them/names.txt", "class is named by /the ir/them/names.txt"),
    ],
)
def test_one_and_several(plural, singular):
    assert counted(1, plural) == f"1 {singular}"
    for number in (0, 2, 1000):
        assert counted(number, plural) == f"{number} {plural}"
