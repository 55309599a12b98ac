"""What a search has tried and found, in a journal that survives a kill at any moment."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .draw import distributions
from .library import import_optuna
from .space import Candidates, Setting

FILE = "search.journal"
_STUDY, _PLAN = "transfer", "plan"


class Trial(NamedTuple):
    """A setting and how it did.

    Attributes:
        number: in the order in which they were drawn.
        setting: what is tried.
        accuracy: epochs -> top-1 on the validation images, in [0, 1]; of the rungs that it came to.
        state: running, pruned, complete, or fail: it diverged.
    """

    number: int
    setting: Setting
    accuracy: dict[int, float]
    state: str

    @property
    def name(self) -> str:
        """Of its run."""
        return f"trial{self.number:02d}"


class Ledger:
    """The trials of one search, kept by Optuna in `folder/search.journal` (optuna-dashboard shows it).

    Args:
        folder: of the search.
        candidates: see `ssld.transfer.space`.
        plan: what the search is, name -> plain value; the same search goes on, another one is refused.

    Raises:
        InputError: the folder holds another search, or the journal is damaged.
    """

    def __init__(self, folder: str | Path, candidates: Mapping[str, Candidates], plan: Mapping):
        self._optuna, self.file = import_optuna(), Path(folder) / FILE
        self._space = distributions(candidates)
        journal = self._optuna.storages.journal
        _tidy(self.file)
        try:
            storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(self.file)))
            self._study = self._optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize",
                                                    load_if_exists=True)
            known = self._study.user_attrs
        except Exception as error:          # Optuna raises nearly anything, assertions too, at lines that are not its own
            raise InputError(f"{self.file} cannot be read as the journal of a search ({type(error).__name__}: {error}). Remove "
                             "it to search anew.") from error
        if _PLAN not in known:
            self._study.set_user_attr(_PLAN, dict(plan))
        else:
            _refuse_another(known[_PLAN], plan, self.file)

    def trials(self) -> list[Trial]:
        """All that were drawn, by number."""
        return [Trial(trial.number, Setting(**trial.params), dict(trial.intermediate_values), trial.state.name.lower())
                for trial in self._study.get_trials(deepcopy=False)]

    def add(self, setting: Setting) -> None:
        """Note a setting that will be tried; one line of the journal."""
        self._study.add_trial(self._optuna.create_trial(params=setting._asdict(), distributions=self._space,
                                                        state=self._optuna.trial.TrialState.RUNNING))

    def report(self, trial: Trial, epochs: int, accuracy: float) -> None:
        """Note what a trial came to."""
        kept = self._study.get_trials(deepcopy=False)[trial.number]
        self._optuna.trial.Trial(self._study, kept._trial_id).report(accuracy, epochs)

    def finish(self, trial: Trial, complete: bool) -> None:
        """Note that a trial was trained to the end, or that it does not go on."""
        if complete:
            self._study.tell(trial.number, trial.accuracy[max(trial.accuracy)])
        else:
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.PRUNED)

    def fail(self, trial: Trial) -> None:
        """Note that a trial diverged."""
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)


def _tidy(file: Path) -> None:
    """Remove what a killed search left: a last line that is not whole, and the lock that it held."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{file}.lock").unlink(missing_ok=True)
    if file.exists():
        with open(file, "r+b") as journal:
            journal.truncate(journal.read().rfind(b"\n") + 1)


def _refuse_another(before: Mapping, now: Mapping, file: Path) -> None:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise InputError(f"{file} is of another search: {key} was {before.get(key)!r}, and is {now.get(key)!r} now. Choose "
                             "another output_dir, or remove that folder to search anew.")
