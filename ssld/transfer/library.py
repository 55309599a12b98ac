"""Optuna, which draws settings, decides who goes on, and keeps the journal (`pip install ssld[search]`)."""
from __future__ import annotations

from ..errors import InputError


def import_optuna():
    """The package, told to be quiet.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise InputError("a search needs Optuna, which is not installed. Install it: pip install 'ssld[search]'. Without it "
                         "one setting can be trained: give multipliers, learning_rate and l2 one value each.") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
