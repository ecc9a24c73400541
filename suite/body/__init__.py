"""Parametric human bodies: a shape and a pose become a mesh. `load_body` is the door."""

from suite.body.load import load_body
from suite.body.model import Body, BodyPose, BodyShape, ShapedBody

__all__ = ["Body", "BodyPose", "BodyShape", "ShapedBody", "load_body"]
