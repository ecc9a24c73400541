"""`spine annotate`: landmarks and the spinous line corrected by hand on a local page, and fitted again."""

from spine.annotate.command import annotate

__all__ = ["annotate"]
