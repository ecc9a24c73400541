"""Weights that others have trained: read as data, never as code, and given our names."""
