"""Operators of a radiance field: one folder each, where `reference.py` in plain PyTorch is the definition."""
