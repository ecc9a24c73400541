"""RGB-D frames and recordings: the door to suite.data.frame, suite.data.recording and suite.data.fusion."""

from suite.data.frame import FrameFiles, RgbdFrame, find_frame, read_rgbd_frame
from suite.data.fusion import fuse_tsdf, median_depth
from suite.data.recording import (
    RecordingInfo,
    RecordingWriter,
    RgbdRecording,
    read_recording,
    write_recording,
)

__all__ = [
    "FrameFiles",
    "RecordingInfo",
    "RecordingWriter",
    "RgbdFrame",
    "RgbdRecording",
    "find_frame",
    "fuse_tsdf",
    "median_depth",
    "read_recording",
    "read_rgbd_frame",
    "write_recording",
]
