"""Which settings are tried, and which trials go on: pure functions of what is known, so that a resumed search is the same.

Source of the halving: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
arXiv:1502.07943; of the rounds, where there are several: Bergstra et al., "Algorithms for Hyper-Parameter Optimization",
NeurIPS 2011 (TPE).
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .library import import_optuna
from .space import Candidates, Range, Setting


def draw(candidates: Mapping[str, Candidates], count: int, seed: int, round_: int = 0,
         history: Sequence[tuple[Setting, Mapping[int, float]]] = ()) -> list[Setting]:
    """The settings of one round.

    Without ranges and history none is drawn twice. With a history they are drawn near what did well (TPE).

    Args:
        candidates: part of a Setting -> values.
        count: how many; of lists, at most as many as there are combinations.
        seed, round_: fix what is drawn.
        history: settings of earlier rounds, and epochs -> accuracy of each.
    """
    optuna = import_optuna()
    number = int(np.random.SeedSequence((seed, round_)).generate_state(1)[0])
    if history:
        sampler = optuna.samplers.TPESampler(n_startup_trials=0, constant_liar=True, seed=number)
    elif any(isinstance(values, Range) for values in candidates.values()):
        sampler = optuna.samplers.RandomSampler(seed=number)
    else:
        sampler = optuna.samplers.GridSampler(candidates, seed=number)
    study, space = optuna.create_study(sampler=sampler, direction="maximize"), distributions(candidates)
    for setting, values in history:
        study.add_trial(optuna.create_trial(params=setting._asdict(), distributions=space, intermediate_values=dict(values),
                                            state=_state(optuna, values, history), value=values[max(values)]))
    return [Setting(**study.ask(space).params) for _ in range(count)]


def distributions(candidates: Mapping[str, Candidates]) -> dict:
    """The candidates as Optuna knows them."""
    kinds = import_optuna().distributions
    return {name: kinds.FloatDistribution(*values, log=True) if isinstance(values, Range) else
            kinds.CategoricalDistribution(values) for name, values in candidates.items()}


def promoted(accuracies: Sequence[float], eta: int) -> list[bool]:
    """Who of the trials at a rung goes on to the next: the best 1 / eta, at least one; equal ones share a fate.

    Optuna's pruner decides about a trial when it comes, by those that came before. Each is asked about as if it had come
    last, so that neither the order in which trials end nor their number at a time matters.
    """
    return [_goes_on([*accuracies[:place], *accuracies[place + 1:], accuracy], eta)
            for place, accuracy in enumerate(accuracies)]


def _goes_on(accuracies: Sequence[float], eta: int) -> bool:
    """Whether the last of these does."""
    optuna = import_optuna()
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.SuccessiveHalvingPruner(1, eta))
    for accuracy in accuracies:
        trial = study.ask()
        trial.report(accuracy, 1)
        stops = trial.should_prune()
    return not stops


def _state(optuna, values: Mapping[int, float], history: Sequence[tuple]):
    """Complete, if the trial came as far as any."""
    through = max(values) == max(epochs for _, others in history for epochs in others)
    return optuna.trial.TrialState.COMPLETE if through else optuna.trial.TrialState.PRUNED
