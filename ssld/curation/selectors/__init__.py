"""Which scored images are worth training on: one selector per file; every file of this folder is found by itself."""
from ...registry import import_all
from .base import SELECTORS, Selection

import_all(__name__)

__all__ = ["SELECTORS", "Selection"]
