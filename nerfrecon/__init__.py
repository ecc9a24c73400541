"""Product reconstruction: photographs in, a textured mesh or a real-time radiance model out."""
