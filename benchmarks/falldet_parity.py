"""falldet's cascade against mmdet's: same random weights, same pictures; final boxes, scores and losses.

mmdet runs on mmcv-lite through `falldet.mmdet.bridge`, so both call torchvision's operators: what is compared
is everything between the pixels of a picture and boxes in it, and between targets and losses. Three
detectors, pictures of 640 x 384 as mmdet resizes them, 1000 proposals; about three minutes.
"""

from __future__ import annotations

import torch

from benchmarks import BenchmarkResult
from benchmarks._falldet_mmdet import CASES, build_pair, compare_detections, compare_losses, near, picture
from falldet.model.options import PixelOptions
from falldet.model.pixels import batched, to_input
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table

PIXELS = PixelOptions(long_px=640, short_px=384)
PICTURE_PX = ((480, 720), (600, 400))
"""Height and width of the pictures: one wide, one tall."""


def run() -> BenchmarkResult:
    """Largest differences over detectors and pictures. BackendUnavailable without mmdet."""
    pictures = [picture(*size, seed=i) for i, size in enumerate(PICTURE_PX)]
    rows = []
    for case in track(CASES, "Comparing with mmdet"):
        pair = build_pair(case, PIXELS)
        apart = [compare_detections(pair, rgb) for rgb in pictures]
        images, sizes = batched([to_input(rgb, PIXELS) for rgb in pictures], PIXELS.divisor)
        with torch.no_grad():
            targets = [near(found) for found in pair.ours(images, sizes)]
            terms = compare_losses(pair, images, sizes, targets, seed=0)
        box_px = max(one.box_px for one in apart)
        if not all(one.same_labels for one in apart):
            box_px = float("inf")
        score = max(one.score for one in apart)
        loss = max(abs(theirs - ours) for theirs, ours in terms.values())
        rows.append([case.name, sum(one.found for one in apart), box_px, score, loss])
    columns = [Column(k) for k in ("detector", "detections", "boxes, px", "scores", "losses")]
    table = Table(columns, [[*row[:2], *(f"{value:.1e}" for value in row[2:])] for row in rows])
    metrics = [
        Metric("max_box_px", max(row[2] for row in rows), "px", "lower"),
        Metric("max_score", max(row[3] for row in rows), "", "lower"),
        Metric("max_loss", max(row[4] for row in rows), "", "lower"),
        Metric("detections", sum(row[1] for row in rows), "", None),
    ]
    return BenchmarkResult(metrics, [table])
