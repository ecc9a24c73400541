"""Image classification: a folder and a YAML file in, a cross-validated ensemble and its report out."""
