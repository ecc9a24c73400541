"""Frozen-feature mode: features computed once, linear models fitted in seconds."""
