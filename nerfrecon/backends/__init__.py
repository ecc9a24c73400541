"""Engines that train and render a field: native, PyTorch, GPU."""
