"""From detections of one camera to falls that somebody is told of: pure, no clocks, no files, no threads."""
