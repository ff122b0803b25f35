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
        ("boxes were added", "box was added"),
        ("predictions: left out", "prediction: left out"),
        ("boxes lie outside their image: dropped", "box lies outside its image: dropped"),
        ("images are there: append them to 'images'", "image is there: append it to 'images'"),
        ("outlines: taken by their boxes", "outline: taken by its box"),
        ("boxes reach the edge", "box reaches the edge"),
        ("image ids occur twice", "image id occurs twice"),
        ("images have no 'id'", "image has no 'id'"),
        ("images can't be read", "image can't be read"),
        ("annotations of an image without boxes", "annotation of an image without boxes"),
        ("classes are named by /the ir/them/names.txt", "class is named by /the ir/them/names.txt"),
    ],
)
def test_one_and_several(plural, singular):
    assert counted(1, plural) == f"1 {singular}"
    for number in (0, 2, 1000):
        assert counted(number, plural) == f"{number} {plural}"
