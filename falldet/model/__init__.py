"""Detectors: backbones, necks, heads, and the one place that puts them together."""
