"""librealsense's filters that may be asked for; nothing is filtered unless it is.

None of them fills holes: a furrow that is filled is a wrong furrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from suite.capture.backend import realsense
from suite.errors import BadInput, did_you_mean

FILTERS = ("threshold", "spatial", "temporal")
RANGE_M = (0.3, 1.5)


def make_filters(names: Sequence[str]) -> list[Any]:
    """Processing blocks in the order given; "threshold" keeps depth in RANGE_M. Raises BadInput."""
    rs, made = realsense(), []
    for name in names:
        if name == "threshold":
            made.append(rs.threshold_filter(*RANGE_M))
        elif name in ("spatial", "temporal"):
            # Both expect noise that is alike near and far: disparity has that, depth has not.
            block = rs.spatial_filter() if name == "spatial" else rs.temporal_filter()
            block.set_option(rs.option.holes_fill, 0)
            made += [rs.disparity_transform(True), block, rs.disparity_transform(False)]
        else:
            close = did_you_mean(name, FILTERS)
            hint = f"did you mean {close!r}?" if close else f"there are {', '.join(FILTERS)}"
            raise BadInput(f"there is no filter {name!r}", "--filter", hint)
    return made


class Align:
    """Registers a colour frame to the depth frame of the same time, undoing the colour lens's distortion."""

    def __init__(self) -> None:
        rs = realsense()
        self._pair: tuple[Any, Any] | None = None
        self._block = rs.processing_block(self._compose)
        self._out = rs.frame_queue(1)
        self._block.start(self._out)
        self._align = rs.align(rs.stream.depth)

    def process(self, depth: Any, color: Any) -> Any:
        """The colour frame as the depth camera would have seen it."""
        self._pair = (depth, color)
        self._block.invoke(depth)
        return self._align.process(self._out.wait_for_frame().as_frameset()).get_color_frame()

    def _compose(self, _: Any, source: Any) -> None:
        assert self._pair is not None
        source.frame_ready(source.allocate_composite_frame(list(self._pair)))
