"""From folders of other programs to a Scene: one reader a format, and `read.py`, which recognises them."""
