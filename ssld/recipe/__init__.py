"""Several runs in order, over several seeds, each starting from what earlier ones left."""
