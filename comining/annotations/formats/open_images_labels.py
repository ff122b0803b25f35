"""Labels of whole images that people verified, as Open Images has them beside its boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from comining.errors import InputError

from .table import read_lines

#: What tells such a file; that of the boxes has these columns, too, and edges.
_COLUMNS = ("ImageID", "LabelName", "Confidence")
_IS_PRESENT = {"1": True, "0": False}


def verified_labels(path: Path, image_ids: Collection[str]) -> dict[str, dict[str, bool]]:
    """By image and code of the label, whether it was verified as present or as absent.

    Labels that only a machine has given, with a confidence between 0 and 1, are left out.

    Args:
        path: of the boxes. The labels are in other CSV files of its folder, perhaps in none.
        image_ids: those that matter.
    """
    labels: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for other in sorted(path.parent.glob("*.csv")):
        try:
            lines = read_lines(other)
            columns = [x.strip() for x in next(lines, (1, []))[1]]
            if not set(_COLUMNS) <= set(columns) or "XMin" in columns:
                continue
            places = [columns.index(x) for x in _COLUMNS]
            for _, values in lines:
                image_id, code, confidence = (values[place] for place in places)
                if image_id in image_ids and confidence in _IS_PRESENT:
                    labels[image_id][code] = _IS_PRESENT[confidence]
        except InputError:
            continue  # whatever it is, it is none of the labels
        except IndexError as error:
            raise InputError(f"{other} has lines with too few columns: export it again") from error
    return dict(labels)
