"""Loss terms, one per file; every file of this folder is found by itself."""
from ..registry import import_all
from .base import METHODS, Method

import_all(__name__)

__all__ = ["METHODS", "Method"]
