"""Make a sparsely annotated version of a COCO-format annotation file.

    python datasets/make_sparse_coco.py --input instances_train2017.json --protocol hard \\
        --seed 0 --output instances_train2017_hard.json

Per image, easy drops one random annotation if there are at least two, hard drops a random half
(rounded down), extreme keeps one, and keep1 keeps one per category. Over the data set, miss drops
a percentage of each category's annotations (rounded down).

hard-to-see, tired, class and session drop a percentage of all annotations as people omit them:
small, crowded and cut-off ones more often (with --images, those of little contrast, too); the rest
of an image, of later images more; all of a category in some images; much in some images and
little in others. comining/annotations/omissions.py says how exactly.

Crowd annotations stay. The same seed and content give the same file, byte for byte, whatever the
order of the input's annotations and its file's name (but with --record-name).
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comining.annotations import omissions
from comining.annotations.coco_file import read_json
from comining.annotations.sparse import PROTOCOLS, encode, make_sparse, repair_dataset
from comining.errors import InputError
from comining.output_file import check_output, write_atomically


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        check_output(args.output, args.input)
        dataset = repair_dataset(read_json(args.input), args.input.name)
        sparse = make_sparse(
            dataset,
            args.protocol,
            seed=args.seed,
            percent=args.percent,
            file_name=args.input.name,
            record_name=args.record_name,
            image_root=args.images,
        )
        write_atomically(args.output, lambda file: file.writelines(encode(sparse)))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    print(summary(dataset, sparse))
    print(f"written to {args.output}")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, required=True, help="fully annotated COCO file")
    parser.add_argument("--protocol", choices=(*PROTOCOLS, *omissions.PROTOCOLS), required=True)
    parser.add_argument(
        "--percent",
        type=float,
        help="what is dropped, 0 to 100 (default 50); not for easy, hard, extreme and keep1",
    )
    parser.add_argument(
        "--images", type=Path, help="folder of the images, for hard-to-see: contrast counts, too"
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--output", type=Path, required=True, help="file to write, in an existing folder"
    )
    parser.add_argument(
        "--record-name",
        action="store_true",
        help="let the output name the input file, so that what was withheld can be shown",
    )
    return parser.parse_args(argv)


def summary(full: Mapping[str, Any], sparse: Mapping[str, Any]) -> str:
    """A table of the annotations per category, before and after; crowds are counted apart."""
    objects = [a for a in full["annotations"] if not a.get("iscrowd")]
    kept_objects = [a for a in sparse["annotations"] if not a.get("iscrowd")]
    before = Counter(a["category_id"] for a in objects)
    kept = Counter(a["category_id"] for a in kept_objects)
    rows = [
        (category["name"], before[category["id"]], kept[category["id"]])
        for category in sorted(full["categories"], key=lambda category: category["id"])
    ]
    rows.append(("all", len(objects), len(kept_objects)))
    width = max(len("category"), *(len(name) for name, _, _ in rows))
    lines = [f"{'category':{width}}  annotations       kept  per cent"]
    for name, number, number_kept in rows:
        share = f"{100 * number_kept / number:8.1f}" if number else f"{'-':>8}"
        lines.append(f"{name:{width}}  {number:11d}  {number_kept:9d}  {share}")
    empty_before = len(full["images"]) - len({a["image_id"] for a in objects})
    empty = len(full["images"]) - len({a["image_id"] for a in kept_objects})
    lines.append(f"crowd annotations, all kept: {len(full['annotations']) - len(objects)}")
    lines.append(
        f"images without annotations other than crowds: {empty} of {len(full['images'])}"
        f" ({empty_before} before)"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    gc.disable()  # it would look through millions of records, again and again, for no gain
    main()
