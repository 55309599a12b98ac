"""Soft labels of crops: computed once, kept on disk, read in place of a teacher."""
