"""Soft-label sources; a Distiller takes any of them."""
