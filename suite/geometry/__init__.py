"""Cameras, rotations, meshes and their files."""
