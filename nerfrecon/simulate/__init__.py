"""Captures of meshes with exact poses, depth and masks: ground truth for fields, surfaces and textures."""
