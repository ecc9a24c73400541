"""Reports: figures with units, tables, drawings and 3D scenes, on one self-contained page."""
