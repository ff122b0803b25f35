"""What detectron2's 0.6 release needs to run on today's libraries and without compiled code."""

from __future__ import annotations

from typing import NamedTuple


class RepairError(Exception):
    """A repair doesn't fit the source that it is meant for."""


class Repair(NamedTuple):
    """One exact text replacement in one file.

    Attributes:
        name: what the repair is for.
        file: path of the file, starting with ``detectron2/``.
        old: the text to replace.
        new: the text that takes its place.
        count: how often ``old`` must occur in the file.
    """

    name: str
    file: str
    old: str
    new: str
    count: int = 1


_OPTIONAL_C = """\
try:
    from detectron2 import _C
except ImportError:
    _C = None
"""

REPAIRS = [
    Repair(
        "Pillow 10 dropped Image.LINEAR",
        "detectron2/data/transforms/transform.py",
        "interp=Image.LINEAR",
        "interp=Image.BILINEAR",
    ),
    *(
        Repair(f"numpy 1.24 dropped np.{alias}", f"detectron2/{file}", old, new, count)
        for alias, file, old, new, count in [
            ("int", "data/build.py", "dtype=np.int", "dtype=int", 2),
            ("str", "data/datasets/pascal_voc.py", "dtype=np.str)", "dtype=str)", 1),
            ("bool", "evaluation/pascal_voc_evaluation.py", "np.bool)", "bool)", 2),
            ("int", "evaluation/sem_seg_evaluation.py", "dtype=np.int)", "dtype=int)", 2),
            ("float", "evaluation/sem_seg_evaluation.py", "np.float)", "float)", 5),
            ("bool", "structures/masks.py", "np.bool)", "bool)", 3),
            ("bool", "utils/video_visualizer.py", "np.bool)", "bool)", 1),
            ("bool", "utils/visualizer.py", "np.bool)", "bool)", 3),
        ]
    ),
    *(
        Repair(
            "compiled operators are optional",
            f"detectron2/layers/{file}",
            "from detectron2 import _C\n",
            _OPTIONAL_C,
        )
        for file in ("deform_conv.py", "roi_align_rotated.py", "rotated_boxes.py")
    ),
    Repair(
        "compiled COCO evaluation is optional",
        "detectron2/evaluation/coco_evaluation.py",
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
        """\
try:
    from detectron2.evaluation.fast_eval_api import COCOeval_opt
except ImportError:
    COCOeval_opt = COCOeval
""",
    ),
    Repair(
        "caffe2 is optional",
        "detectron2/export/__init__.py",
        "from .api import *\n",
        "try:\n    from .api import *\nexcept ImportError:\n    pass\n",
    ),
]


def apply_repairs(files: dict[str, bytes], repairs: list[Repair] = REPAIRS) -> dict[str, bytes]:
    """Repair a source tree.

    Args:
        files: the contents of each file by its path.
        repairs: the replacements, made one after the other.

    Returns:
        A repaired copy of ``files``.

    Raises:
        RepairError: a file is missing, or holds the text to replace another number of times.
    """
    repaired = dict(files)
    for repair in repairs:
        found = repaired.get(repair.file, b"").count(repair.old.encode())
        if found != repair.count:
            raise RepairError(
                f"repair '{repair.name}' doesn't fit: {repair.file} holds {repair.old.strip()!r} "
                f"{found} times instead of {repair.count}"
            )
        repaired[repair.file] = repaired[repair.file].replace(
            repair.old.encode(), repair.new.encode()
        )
    return repaired
