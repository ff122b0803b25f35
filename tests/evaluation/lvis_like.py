"""A small data set as LVIS's, with predictions; everything is drawn from a fixed seed."""

import numpy as np


def make_lvis_like():
    """(ground truth, predictions). Each image was annotated for some of six categories only."""
    rng = np.random.default_rng(7)
    categories = [
        {"id": i, "name": f"c{i}", "synset": f"c{i}.n.01", "frequency": f, "image_count": 9}
        for i, f in zip((2, 3, 5, 7, 11, 13), "rrccff", strict=True)
    ]
    ids = [x["id"] for x in categories]
    images, annotations, predictions = [], [], []
    for image_id in range(1, 31):
        shown, missing = np.split(rng.permutation(ids), [3])
        images.append({
            "id": image_id, "file_name": f"{image_id}.jpg", "width": 400, "height": 400,
            "neg_category_ids": missing[:2].tolist(),
            "not_exhaustive_category_ids": shown[:1].tolist() if image_id % 2 else [],
        })  # fmt: skip
        for category_id in shown.tolist():
            for _ in range(rng.integers(1, 4)):
                box = np.round(np.r_[rng.uniform(0, 250, 2), rng.uniform(10, 140, 2)], 2)
                annotations.append({
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": category_id,
                    "bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": 0,
                })  # fmt: skip
                if rng.random() < 0.8:
                    near = np.round(box + rng.normal(0, 5, 4), 2)
                    near[2:] = near[2:].clip(5)
                    predictions.append(_found(image_id, category_id, near, rng))
        for _ in range(12):
            box = np.round(np.r_[rng.uniform(0, 250, 2), rng.uniform(10, 140, 2)], 2)
            predictions.append(_found(image_id, int(rng.choice(ids)), box, rng))
    return {"images": images, "annotations": annotations, "categories": categories}, predictions


def _found(image_id, category_id, box, rng):
    return {"image_id": image_id, "category_id": category_id, "bbox": box.tolist(),
            "score": round(float(rng.random()), 4)}  # fmt: skip
