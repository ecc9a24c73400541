"""A trained field baked into voxels that a web page ray-marches in real time."""
