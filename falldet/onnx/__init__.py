"""A detector as one ONNX graph, from a picture of any size to people, and the script that runs it."""
