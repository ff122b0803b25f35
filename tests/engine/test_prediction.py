import json
import signal
import struct
import sys

import av
import click
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from PIL import Image

from comining.data import pictures, register_from_config
from comining.data.categories import find_categories
from comining.data.pictures import find_inputs
from comining.engine import Trainer, prediction
from comining.errors import InputError, PartialError
from comining.evaluation.drawing import COLOURS, draw
from tests.conftest import call_command
from tests.modeling.helpers import each_detector


@pytest.fixture
def model(own_config, tmp_path):
    """The options of a model with random weights for the user's own data."""
    torch.manual_seed(0)
    torch.save({"model": build_model(own_config).state_dict()}, tmp_path / "model.pth")
    (tmp_path / "my.yaml").write_text(own_config.dump())
    return ["--config", str(tmp_path / "my.yaml"), "--weights", str(tmp_path / "model.pth")]


@pytest.fixture
def command(model, tmp_path):
    """Runs the command; returns the JSON that it wrote."""

    def run(*words):
        call_command("predict", "--output", tmp_path / "found", *model, *words)
        return written(tmp_path)

    return run


def written(folder):
    return json.loads((folder / "found" / "predictions.json").read_text())


def save_image(path, width=40, height=30, colour="gray", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), colour).save(path, **options)
    return path


def save_video(path, frames, width=64, height=48):
    """A video whose frames get brighter, by 10 each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = width, height
        for number in range(frames):
            pixels = np.full((height, width, 3), 10 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@each_detector
def test_predictions_are_those_of_evaluation(command, own_config, own_data, tmp_path):
    found = command(own_data / "images", "--score-thresh", 0)
    assert found["categories"] == [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    assert found["info"]["image_root"] == str(own_data / "images")

    own_config.MODEL.RETINANET.SCORE_THRESH_TEST = own_config.MODEL.FCOS.SCORE_THRESH_TEST = 0.0
    register_from_config(own_config)
    evaluated = Trainer.build_model(own_config)
    evaluated.load_state_dict(torch.load(tmp_path / "model.pth")["model"])
    Trainer.test(own_config, evaluated)
    file = tmp_path / "output" / "inference" / "own" / "coco_instances_results.json"
    expected = json.loads(file.read_text())
    truth = json.loads((own_data / "annotations.json").read_text())["images"]
    names = {image["id"]: image["file_name"] for image in truth}
    ids = {image["file_name"]: image["id"] for image in found["images"]}
    assert len(expected) >= 100
    assert [{key: one[key] for key in two} for one, two in
            zip(found["annotations"], expected, strict=True)] == [
        {**one, "image_id": ids[names[one["image_id"]]]} for one in expected
    ]  # fmt: skip
    one = found["annotations"][0]
    assert one["area"] == one["bbox"][2] * one["bbox"][3]
    assert len({x["id"] for x in found["annotations"]}) == len(expected)


def test_threshold_and_batch_size(command, own_data):
    everything = command(own_data / "images", "--score-thresh", 0)["annotations"]
    thresh = sorted(x["score"] for x in everything)[-5]
    best = command(own_data / "images", "--score-thresh", thresh, "--batch-size", 3)
    assert sorted(x["score"] for x in best["annotations"]) == pytest.approx(
        sorted(x["score"] for x in everything)[-len(best["annotations"]) :], rel=1e-5
    )
    assert 4 <= len(best["annotations"]) <= 5  # padding may change the last digits


def test_threshold_of_a_detector_that_has_none(command, monkeypatch, tmp_path):
    class Detector(torch.nn.Module):
        num_classes = 2

        def forward(self, batch):
            found = Instances((30, 40))
            found.pred_boxes = Boxes(torch.tensor([[0.0, 0, 9, 9], [9, 9, 20, 20]]))
            found.scores, found.pred_classes = torch.tensor([0.6, 0.4]), torch.tensor([0, 1])
            return [{"instances": found} for _ in batch]

    monkeypatch.setattr(prediction, "build_detector", lambda cfg: Detector())
    monkeypatch.setattr(prediction.Checkpointer, "load", lambda *_: None)
    found = command(save_image(tmp_path / "a.png"))["annotations"]
    assert [x["score"] for x in found] == [pytest.approx(0.6)]


def test_inputs_of_the_same_name_stay_apart(command, tmp_path):
    names = ["a/x.jpg", "b/x.jpg", "b/x.png", "b/x.tif", "b/x.tif.jpg", "c/x.JPG"]
    for place, name in enumerate(names):
        save_image(tmp_path / "in" / name, 20 + place, 30)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / ".hidden.jpg").write_text("no image")
    words = ["a/x.jpg", "b", "c/*.JPG", "a"]
    found = command(*(tmp_path / "in" / word for word in words))
    assert [image["file_name"] for image in found["images"]] == names
    assert [image["width"] for image in found["images"]] == [20, 21, 22, 23, 24, 25]
    assert len({image["id"] for image in found["images"]}) == len(names)
    for image in found["images"]:
        with Image.open(tmp_path / "found" / image["annotated"]) as picture:
            assert picture.size == (image["width"], 30)
    # Each once, though "a" names one of them again, and no picture that was drawn.
    assert [x["file_name"] for x in command(tmp_path)["images"]] == names


def test_images_are_turned_as_exif_says(command, tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turn it by 90 degrees
    found = command(save_image(tmp_path / "turned.jpg", 40, 30, exif=exif))
    (image,) = found["images"]
    assert (image["width"], image["height"]) == (30, 40)
    with Image.open(tmp_path / "found" / image["annotated"]) as picture:
        assert picture.size == (30, 40)


def test_broken_inputs_are_named_and_the_others_done(command, tmp_path):
    save_image(tmp_path / "in" / "a.jpg")
    whole = save_image(tmp_path / "in" / "z.png").read_bytes()
    (tmp_path / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "text.jpg").write_text("no image")
    (tmp_path / "in" / "text.mp4").write_text("no video")
    with pytest.raises(PartialError) as error:
        command(tmp_path / "in")
    head, *lines = str(error.value).splitlines()
    assert head == "3 of 5 inputs can't be read:"
    for line, name in zip(lines, ("cut.png", "text.jpg", "text.mp4"), strict=True):
        assert line.startswith(f"  {tmp_path / 'in' / name}: ")
    assert [image["file_name"] for image in written(tmp_path)["images"]] == ["a.jpg", "z.png"]


@pytest.fixture
def _own_signals():
    """Handlers of signals that a test installs do not stay."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
def test_interrupted_run_keeps_what_is_done(command, monkeypatch, tmp_path, capsys):
    paths = [save_image(tmp_path / f"{place}.png") for place in range(3)]
    partial = tmp_path / "found" / "predictions.partial.json"
    read = pictures.read_image

    def interrupt_at(number):
        def reading(path, image_format):
            if path == str(paths[number]):
                signal.raise_signal(signal.SIGTERM)
            return read(path, image_format)

        monkeypatch.setattr(pictures, "read_image", reading)
        with pytest.raises(click.Abort):
            command(*paths)

    interrupt_at(0)
    assert not partial.exists()
    interrupt_at(2)
    assert f"{partial} has what was found" in capsys.readouterr().err
    found = json.loads(partial.read_text())["images"]
    assert [image["file_name"] for image in found] == ["0.png", "1.png"]

    monkeypatch.setattr(pictures, "read_image", read)
    complete = command(*paths)
    assert len(complete["images"]) == 3
    assert not partial.exists()
    interrupt_at(2)
    assert written(tmp_path) == complete


def test_every_third_frame_of_a_video(command, tmp_path):
    video = save_video(tmp_path / "clip.mp4", frames=8)
    found = command(video, "--every", 3)
    assert found["images"] == [
        {
            "id": place + 1,
            "file_name": f"clip.mp4/{number:06}.jpg",
            "width": 64,
            "height": 48,
            "annotated": f"images/clip.mp4/{number:06}.jpg",
            "video": "clip.mp4",
            "frame": number,
        }
        for place, number in enumerate((0, 3, 6))
    ]
    for image in found["images"]:
        with Image.open(tmp_path / "found" / image["annotated"]) as picture:
            assert np.mean(picture) == pytest.approx(10 * image["frame"], abs=4)


def test_frames_are_turned_as_the_video_says(tmp_path):
    video = tmp_path / "clip.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 32
        pixels = np.zeros((32, 64, 3), np.uint8)
        pixels[:, :32] = 255  # the left half
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(pixels)), *stream.encode()]:
            container.mux(packet)
    content = bytearray(video.read_bytes())
    # The matrix in the track's header: clockwise by 90 degrees, as phones write it.
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    start = content.index(b"tkhd") + 44
    content[start : start + len(matrix)] = matrix
    video.write_bytes(content)
    (picture,) = pictures.read_pictures([video], tmp_path, every=1, broken=[])
    assert picture.pixels.shape == (64, 32, 3)
    assert picture.pixels[:30].mean() > 240  # what was left is at the top
    assert picture.pixels[34:].mean() < 15


def test_sound_has_no_pictures(tmp_path):
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    broken = []
    assert list(pictures.read_pictures([sound], tmp_path, every=1, broken=broken)) == []
    assert broken == [f"{sound}: there are no pictures in it"]


def test_missing_video_library_is_named(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r": pip install av$"):
        command(save_video(tmp_path / "clip.mp4", frames=1))
    assert command(save_image(tmp_path / "image.png"))["images"]


def test_inputs_that_are_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for word in ("gone.jpg", "*.png", "empty"):
        with pytest.raises(InputError, match="is no image or video, nor a folder or glob of such"):
            find_inputs([str(tmp_path / word)], tmp_path / "found")


def test_only_pictures_and_videos_of_a_folder_are_inputs(tmp_path):
    names = ["a.JPG", "b.png", "c.tif", "d.webp", "e.MOV"]
    for name in (*names, "features.h5", "f.hdf", "weather.grib", "figure.eps", "notes.txt"):
        (tmp_path / name).touch()
    for word in (tmp_path, tmp_path / "*"):
        found = find_inputs([str(word)], tmp_path / "found")
        assert [path.name for path in found] == names


def test_hidden_files_are_no_inputs_and_linked_folders_are(tmp_path):
    path = save_image(tmp_path / "photos" / "a.png")
    save_image(tmp_path / "photos" / ".thumbs" / "b.png")
    save_image(tmp_path / "elsewhere" / "c.png")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    found = find_inputs([str(tmp_path / "photos")], tmp_path / "found")
    assert found == [path, tmp_path / "photos" / "more" / "c.png"]


def test_output_is_no_input_whatever_leads_there(tmp_path):
    """Else the boxes would be drawn into the very images."""
    path = save_image(tmp_path / "data" / "images" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    words = [str(tmp_path / "link" / "images"), str(tmp_path / "data")]
    for word in words:
        for output in (tmp_path / "data", tmp_path / "link"):
            with pytest.raises(InputError, match=r"lies in the output, .*: name another --output"):
                find_inputs([word], output)
    linked = tmp_path / "link" / "images" / "a.png"
    assert find_inputs([words[0]], tmp_path / "found") == [linked]
    assert find_inputs([words[1]], tmp_path / "found") == [path]

    # Where the pictures will be drawn.
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "images").symlink_to(path.parent)
    for word in (tmp_path / "found" / "images", path.parent):
        with pytest.raises(InputError, match=r"lies in the output"):
            find_inputs([str(word)], tmp_path / "found")


def test_name_with_brackets_is_no_glob(tmp_path):
    path = save_image(tmp_path / "image [1].jpg")
    assert find_inputs([str(path)], tmp_path / "found") == [path]


def test_classes_have_numbers_without_the_annotation_file(command, own_config, own_data, tmp_path):
    own_config.DATASETS.REGISTER = [["own", str(tmp_path / "gone.json"), str(own_data)]]
    (tmp_path / "my.yaml").write_text(own_config.dump())
    found = command(own_data / "images", "--score-thresh", 0)
    assert found["categories"] == [{"id": 0, "name": "0"}, {"id": 1, "name": "1"}]
    assert {x["category_id"] for x in found["annotations"]} == {0, 1}


def test_classes_have_the_names_of_their_ids_in_whatever_order_these_are_listed(
    own_config, own_data, tmp_path
):
    dataset = json.loads((own_data / "annotations.json").read_text())
    dataset["categories"].reverse()
    (tmp_path / "listed.json").write_text(json.dumps(dataset))
    own_config.DATASETS.REGISTER = [["own", str(tmp_path / "listed.json"), str(own_data)]]
    register_from_config(own_config)
    classes = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    assert find_categories(own_config) == classes


def test_classes_have_the_names_of_the_test_data(own_config, own_data, tmp_path):
    dataset = json.loads((own_data / "annotations.json").read_text())
    dataset["categories"] = [{"id": 3, "name": "Katze"}, {"id": 7, "name": "Hund"}]
    (tmp_path / "annotations.json").write_text(json.dumps(dataset))
    german = ["german", str(tmp_path / "annotations.json"), str(own_data / "images")]
    own_config.DATASETS.REGISTER = [*own_config.DATASETS.REGISTER, german]
    own_config.DATASETS.TEST = ["german"]
    register_from_config(own_config)
    assert [x["name"] for x in find_categories(own_config)] == ["Katze", "Hund"]


def test_options_for_the_config(command, own_data):
    found = command(
        own_data / "images", "--score-thresh", 0, "--set", "TEST.DETECTIONS_PER_IMAGE", 3
    )
    assert [x["image_id"] for x in found["annotations"]] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


def test_without_a_gpu_the_model_is_on_the_cpu(command, tmp_path):
    image = save_image(tmp_path / "image.png")
    assert command(image, "--set", "MODEL.DEVICE", "cuda")["images"]


def test_other_number_of_classes_is_refused(command, own_config, own_data, tmp_path):
    own_config.DATASETS.TEST = own_config.DATASETS.TRAIN = ["coco_2017_val"]
    (tmp_path / "my.yaml").write_text(own_config.dump())
    with pytest.raises(InputError, match=r" have 80 categories, but its model has 2 cl"):
        command(own_data / "images")


def test_missing_weights_are_named(command, tmp_path):
    (tmp_path / "model.pth").unlink()
    with pytest.raises(
        InputError, match=r"^the weights file .*th does not exist: .* with --weights$"
    ):
        command(save_image(tmp_path / "image.png"))


@pytest.mark.parametrize(
    "option", [("--score-thresh", 1.5), ("--every", 0), ("--batch-size", 0), ("--weights", "")]
)
def test_options_out_of_range(option, command, tmp_path):
    with pytest.raises(click.BadParameter) as error:
        command(save_image(tmp_path / "image.png"), *option)
    assert error.value.param.opts == [option[0]]


def test_json_for_scripts(command, capsys, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(PartialError):
        command(save_image(tmp_path / "a.png"), tmp_path / "text.jpg", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["predictions"] == str(tmp_path / "found" / "predictions.json")
    (line,) = told["unreadable"]
    assert line.startswith(f"{tmp_path / 'text.jpg'}: ")


def found_objects(boxes, classes, scores):
    return Instances(
        (100, 100),
        pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
        scores=torch.tensor(scores),
    )


def test_boxes_are_drawn_where_they_are():
    black = np.zeros((100, 100, 3), np.uint8)
    classes = {0: {"name": "cat"}, 1: {"name": "dog"}}
    boxes = [[20.0, 40.0, 80.0, 90.0], [0.0, 0.0, 10.0, 10.0]]
    drawn = np.asarray(draw(black, found_objects(boxes, [0, 1], [0.9, 0.5]), classes))
    first, second = COLOURS[:2]
    for x, y in ((20, 60), (80, 60), (50, 40), (50, 90)):
        assert tuple(drawn[y, x]) == first
    assert not drawn[42:89, 22:79].any()  # inside of it
    assert not drawn[92:].any()
    # Its label is above it; that of a box in the corner stays in the picture.
    assert (drawn[30:39, 20:60] == first).all(axis=2).mean() > 0.3
    assert (drawn[:10, :30] == second).all(axis=2).mean() > 0.3
    # Of boxes in the same place, the most certain one is seen.
    same = found_objects([boxes[0]] * 2, [0, 1], [0.9, 0.5])
    assert draw(black, same, classes).getpixel((20, 60)) == first
    assert not draw(black, found_objects([], [], []), classes).getbbox()
    assert not black.any()  # the input is as it was
