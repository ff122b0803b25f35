"""Whether what a study finds in its folder was run with what it now asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from comining.engine import load_config
from comining.errors import InputError
from comining.modeling.methods import method_name

from .archive import find_finished
from .cells import RECORD, RESULTS, Record, data_version, has_checkpoint, read_record
from .plan import Cell, flat

#: Detectors that look at no key of Co-mining, which begin with ``COMINING``.
PLAIN = ("RetinaNet", "FCOS", "GeneralizedRCNN")
COMINING = "MODEL.COMINING."
#: What an FCOS doesn't look at.
OF_ANCHORS = ("MODEL.RETINANET.", "MODEL.ANCHOR_GENERATOR.")


def check_unchanged(cells: Iterable[Cell], output: Path) -> None:
    """Check that what the folder of a study has of its cells is of the wanted settings and data.

    Raises:
        InputError: it is not, or nobody knows; names the folders, and what is archived.
    """
    changed = []
    for cell in cells:
        folder = output / cell.name
        finished = find_finished(cell, output)
        if finished:
            where, difference = finished.where, _difference(finished.record, cell)
        elif (folder / RESULTS).exists() or has_checkpoint(folder):
            record = read_record(folder)
            where = str(folder)
            difference = _difference(record, cell) if record else f"it has no {RECORD}"
        else:
            continue
        if difference:
            changed.append(f"{where} ({difference})")
    if changed:
        raise InputError(
            f"run with other settings than the study now asks for: {'; '.join(changed)}. Move "
            "these away, give the study another --output, or take back the change"
        )


def _difference(record: Record, cell: Cell) -> str:
    """What differs between a record and a cell as it would be run now; empty if nothing does."""
    missing = cell.settings.keys() - record.settings.keys()
    # Keys that the project got since then made no difference, as long as they have their defaults.
    before = _with_used_data({**{key: _defaults().get(key) for key in missing}, **record.settings})
    now = _with_used_data(cell.settings)
    settings = [
        f"{key} {before.get(key)}, now {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and (_matters(key, before) or _matters(key, now))
    ]
    data = data_version(cell) if record.data else {}
    files = [
        f"the annotation file of {name} has changed"
        for name, sha256 in (record.data or {}).items()
        if data.get(name, sha256) != sha256
    ]
    return ", ".join(settings + files)


def _with_used_data(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the data sets that are registered, but neither trained on nor tested."""
    used = {*settings["DATASETS.TRAIN"], *settings["DATASETS.TEST"]}
    registered = [entry for entry in settings["DATASETS.REGISTER"] if entry[0] in used]
    return {**settings, "DATASETS.REGISTER": sorted(registered)}


def _matters(key: str, settings: dict[str, Any]) -> bool:
    """Whether a training with these settings looks at a key; if in doubt it does."""
    architecture = settings["MODEL.META_ARCHITECTURE"]
    if architecture.endswith("FCOS") and key.startswith(OF_ANCHORS):
        return False
    if architecture in PLAIN:
        return not key.startswith(COMINING)
    method = method_name(settings[f"{COMINING}METHOD"], settings[f"{COMINING}THRESHOLD"])
    return not (method == "Published" and key.startswith(f"{COMINING}ADAPTIVE."))


@cache
def _defaults() -> dict[str, Any]:
    return json.loads(json.dumps(flat(load_config(""))))
