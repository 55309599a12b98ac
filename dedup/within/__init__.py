"""Duplicates inside a pool."""
