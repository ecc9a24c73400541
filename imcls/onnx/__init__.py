"""A trained classifier as an ONNX graph, with the script that runs it."""
