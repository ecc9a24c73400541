"""From pixels to colours: rays, occupied space, samples, compositing, losses."""
