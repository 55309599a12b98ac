"""A small task of real photographs on which the whole pipeline can be tried within minutes."""
