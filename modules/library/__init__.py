"""Weight files: which there are, whether they can be trusted and read, loading and keeping them. Only `load` needs torch."""
