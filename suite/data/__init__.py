"""Images, RGB-D frames and recordings: one door per format, checked once on the way in."""
