"""Weights that other frameworks made, mapped completely onto our networks."""
