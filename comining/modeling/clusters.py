"""Clusters of what a detector predicts of one object, before suppression."""

from __future__ import annotations

import torch

from .labels import HIT_IOU, Labels, pairwise_iou
from .mining import best_of_images


def cluster(proposals: Labels, most: int, iou_thresh: float = HIT_IOU) -> Labels:
    """One label for each cluster of proposals.

    Of each image the ``most`` best-scored proposals count. The best one and all that it overlaps
    are a cluster, whatever their classes; then the best of the rest and all of the rest that it
    overlaps, and so on. A cluster's score is that of its best proposal times its share of ``most``;
    its class that of most of its proposals, of several the one of the best proposal; its box the
    mean of theirs, weighted by their scores. Boxes that are not finite are left out.

    Args:
        proposals: of a batch, M rows. The device is waited for once, and the rest done on the host.
        most: at least 1.
        iou_thresh: two proposals overlap if their IoU is above.

    Returns:
        Labels on the device of the proposals, image by image.
    """
    device = proposals.boxes.device
    on_host = Labels(*(x.cpu() for x in proposals))
    counted = best_of_images(on_host.select(on_host.boxes.isfinite().all(1)), most)
    clusters = []
    for image in counted.images.unique().tolist():
        of_image = counted.select(counted.images == image)
        overlapping = pairwise_iou(of_image.boxes, of_image.boxes) > iou_thresh
        overlapping.fill_diagonal_(True)  # also of a box without area
        is_left = torch.ones(len(of_image.boxes), dtype=torch.bool)
        for best in range(len(of_image.boxes)):
            if is_left[best]:
                members = overlapping[best] & is_left
                is_left &= ~members
                clusters.append(_merge(of_image.select(members), most))
    merged = Labels.cat(clusters) if clusters else counted.none()
    return Labels(*(x.to(device) for x in merged))


def _merge(members: Labels, most: int) -> Labels:
    """Of proposals by descending score."""
    votes = members.classes.bincount()
    winning = members.classes[votes[members.classes] == votes.max()][:1]
    weights = members.scores / members.scores.sum()
    return Labels(
        (members.boxes * weights[:, None]).sum(0, keepdim=True),
        winning,
        members.images[:1],
        members.scores[:1] * (len(members.boxes) / most),
    )
