"""Capture: a depth camera in, an RGB-D recording in the suite's own format out."""
