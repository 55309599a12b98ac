"""PaddleClas's backbones, imported when first needed (it takes a second) and without its chatter."""
from __future__ import annotations

import contextlib
import importlib
import logging
from types import ModuleType


def backbones() -> ModuleType:
    """The module that holds a builder of each backbone."""
    with _quiet():
        from paddleclas.ppcls.arch import backbone
        from paddleclas.ppcls.utils import logger
    if logger._logger is None:
        logger.init_logger()
    logger._logger.setLevel(logging.ERROR)          # each backbone that is built announces a deprecation of its own
    return backbone


def module_of(name: str) -> ModuleType:
    """The module of one architecture, such as "legendary_models.swin_transformer"."""
    return importlib.import_module(f"{backbones().__name__}.{name}")


@contextlib.contextmanager
def _quiet():
    """No log lines of other packages while they are imported."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
