"""Pages that show a product: a mesh, a baked model; each one file that opens from disk."""
