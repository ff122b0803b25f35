"""Small data sets, and completions of them that take seconds."""

import json
import re

import numpy as np
from PIL import Image

from comining.completion.folder import Folder
from comining.engine.miner import Mined

BOX = [8.0, 8.0, 24.0, 24.0]


def write_dataset(folder, number=12, boxes=2, size=(64, 48)):
    """Images of noise with so many boxes each, half of them of each category."""
    images = folder / "photos"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    dataset = {"images": [], "annotations": [], "categories": categories}
    for id_ in range(1, number + 1):
        name = f"bild ü {id_}.png"
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / name)
        dataset["images"].append(
            {"id": id_, "file_name": name, "width": size[0], "height": size[1]}
        )
        dataset["annotations"] += [
            {
                "id": 10 * id_ + place, "image_id": id_, "category_id": (3, 7)[place % 2],
                "bbox": [BOX[0] + 20 * place, *BOX[1:]], "area": 576, "iscrowd": 0,
            }
            for place in range(boxes)
        ]  # fmt: skip
    (folder / "half.json").write_text(json.dumps(dataset))
    return dataset


def shrink(output, **changes):
    """Let the plan in a folder be that of a small and short training."""
    config = output / "config.yaml"
    text = config.read_text()
    small = {"OUT_CHANNELS": 32, "IMS_PER_BATCH": 2,
             "NUM_WORKERS": 0, "MAX_ITER": 4, "CHECKPOINT_PERIOD": 9, "NUM_CONVS": 1}  # fmt: skip
    for name, value in {**small, **changes}.items():
        text, number = re.subn(rf"( {name}): .*", rf"\1: {value}", text)
        assert number == 1
    config.write_text(text)
    pace = {"iterations": 4, "training": 1, "mining": 1, "why": "a test"}
    (output / "pace.json").write_text(json.dumps(pace))


def found_on_every_image(*_):
    """In place of mining: an object in a new place of each image, and all that were annotated."""
    boxes = [[8.0 + 20 * x, 8, 32.0 + 20 * x, 32] for x in (0, 1)]
    new = [40.0, 34, 70, 47]  # beyond the right edge
    one = Mined([new, *boxes], [1, 0, 1], [0.93, 0.95, 0.97], [True, False, False])
    return dict.fromkeys(range(1, 13), one), {}


def begin(tmp_path, annotations):
    """The folder ``out`` of a completion of ``images`` that has begun, and its source."""
    folder, images = Folder(tmp_path / "out"), tmp_path / "images"
    source = folder.read_source(images, annotations, False)
    folder.path.mkdir()
    folder.claim(source, images, False)
    return folder, source


def end(folder, source, proposals):
    """Write what a review reads of a completion that has ended, and added all proposals."""
    folder.proposals.write_text(json.dumps(proposals))
    annotations = [*source.dataset["annotations"], *proposals]
    folder.write_completed(source, {**source.dataset, "annotations": annotations})
