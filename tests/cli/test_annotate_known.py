"""``comining annotate-known``."""

import json

import pytest


@pytest.fixture
def file(tmp_path):
    """Two images of the first day, with a car and a bus, and one of the second, with a car."""
    names = ("day1/a.jpg", "day1/b.jpg", "day2/a.jpg")
    rows = ((10, 1, 3), (11, 2, 5), (12, 3, 3))
    data = {
        "images": [{"id": i, "file_name": name, "width": 20, "height": 20}
                   for i, name in enumerate(names, 1)],
        "annotations": [{"id": i, "image_id": m, "category_id": c, "bbox": [1, 1, 5, 5]}
                        for i, m, c in rows],
        "categories": [{"id": 3, "name": "car"}, {"id": 5, "name": "bus"},
                       {"id": 8, "name": "van, small"}],
    }  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def run(command_line, file):
    """Runs the command; returns by image id what the output says, or the message."""
    output = file.with_name("out.json")

    def run(*words):
        output.unlink(missing_ok=True)
        done = command_line("annotate-known", file, "--output", output, *words)
        if done.exit_code:
            assert (done.exit_code, output.exists()) == (2, False)
            return done.stderr
        keys = ("exhaustive_category_ids", "neg_category_ids")
        images = json.loads(output.read_text())["images"]
        return {x["id"]: {k: x[k] for k in keys if k in x} for x in images}

    return run


def test_categories_of_images_by_a_pattern(run):
    day1 = {"exhaustive_category_ids": [3, 5]}
    assert run("--exhaustive", "bus, car", "--images-glob", "day1/*") == {1: day1, 2: day1, 3: {}}


def test_all(run):
    everything = {"exhaustive_category_ids": [3, 5, 8]}
    assert run("--exhaustive", "all") == {1: everything, 2: everything, 3: everything}


def test_absent_and_a_name_with_a_comma(run):
    found = run("--absent", "van, small", "--exhaustive", "car", "--images-glob", "*/a.jpg")
    both = {"exhaustive_category_ids": [3], "neg_category_ids": [8]}
    assert found == {1: both, 2: {}, 3: both}


def test_table(run, tmp_path):
    table = tmp_path / "known.csv"
    table.write_text('image,exhaustive,absent\nday1/a.jpg,"car,bus",\n2,all,car\nday2/a.jpg,,bus\n')
    assert run("--csv", table) == {
        1: {"exhaustive_category_ids": [3, 5]},
        2: {"exhaustive_category_ids": [3, 5, 8], "neg_category_ids": [3]},
        3: {"neg_category_ids": [5]},
    }


def test_what_was_known_stays(run, file):
    """An LVIS image keeps what it implies; a default and other images are left alone."""
    data = json.loads(file.read_text())
    data["images"][0].update(neg_category_ids=[8], not_exhaustive_category_ids=[])
    data["images"][1]["exhaustive_category_ids"] = [5]
    file.write_text(json.dumps(data))
    assert run("--exhaustive", "bus", "--images-glob", "*/a.jpg") == {
        1: {"exhaustive_category_ids": [3, 5], "neg_category_ids": [8]},
        2: {"exhaustive_category_ids": [5]},
        3: {"exhaustive_category_ids": [5]},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what is known? Give --exhaustive, --absent or --csv"),
        (["--csv", "a.csv", "--absent", "car"], "--csv takes the place"),
        (["--exhaustive", "lorry"], "no category is called lorry; there are car, bus, van, small"),
        (["--absent", "car", "--images-glob", "day3/*"],
         "no image matches 'day3/*'; images are named like day1/a.jpg"),
        (["--absent", "car"], "(10: category 3 in image 1, 12: category 3 in image 3)"),
        (["--csv", "gone.csv"], "gone.csv"),
    ],
)  # fmt: skip
def test_refusal(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in run(*words)


def test_not_exhaustive_is_not_made_exhaustive(run, file):
    data = json.loads(file.read_text())
    data["images"][0]["not_exhaustive_category_ids"] = [5]
    file.write_text(json.dumps(data))
    message = run("--exhaustive", "all")
    assert "nothing was written" in message
    assert "(image 1: category 5)" in message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image\n1\n", "has the columns image; it needs image, and exhaustive or absent or both"),
        (
            "image,absent\nc.jpg,car\n",
            "line 2 names the image 'c.jpg', which the annotations don't",
        ),
        ("image,absent\n1,bus\n2,lorry\n", "line 3: no category is called lorry"),
        ("image,absent\n1\n", "line 2 has 1 column"),
    ],
)
def test_refusal_of_a_table(run, tmp_path, table, message):
    (tmp_path / "a.csv").write_text(table)
    assert message in run("--csv", tmp_path / "a.csv")


def test_unusable_annotations(run, file):
    file.write_text(file.read_text().replace('"category_id": 5', '"category_id": "bus"'))
    assert "correct the annotations first" in run("--exhaustive", "all")


def test_printed(command_line, file):
    words = ["annotate-known", file, "--output", file.with_name("out.json"), "--exhaustive", "bus"]
    done = command_line(*words, "--json")
    assert json.loads(done.stdout) == {
        "output": str(file.with_name("out.json")),
        "known": {"images with exhaustive categories": 3, "images with absent categories": 0},
    }
    assert f"written to {file.with_name('out.json')}" in command_line(*words).stdout
    assert command_line(*words, "--quiet").output == ""
