from __future__ import annotations

import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.train.runlog import RunLog
from ssld.transfer.final import best_of
from ssld.transfer.ledger import Ledger
from ssld.transfer.plan import Search
from ssld.transfer.search import Halving, epochs_of, round_sizes
from ssld.transfer.space import Range, Setting, Space

pytest.importorskip("optuna")
RATES = [round(0.1 + 0.01 * place, 2) for place in range(9)]
SPACE = Space(["ones"], RATES, [None], {"ones": (1.0,)})


class Killed(Exception):
    """The process was killed."""


class Toy(Halving):
    """A search whose runs are a function: the accuracy of a setting is its rate, and grows with the epochs."""

    def __init__(self, folder, search, space=SPACE, killed_at=None):
        ledger = Ledger(folder, space.candidates, {})
        super().__init__(search, space, Config({"Optimizer": {}}), folder / "x.yaml", folder, ledger)
        self.trained, self.killed_at = [], killed_at

    def _train(self, trials, epochs):
        if self.killed_at == epochs:
            raise Killed
        self.trained += [(trial.number, epochs) for trial in trials]
        return {trial.number: trial.setting.learning_rate + epochs / 100 for trial in trials}


def test_the_best_third_of_each_rung_goes_on_to_the_next(tmp_path):
    toy = Toy(tmp_path, Search(rungs=[1, 3, 9], eta=3))
    trials = toy.run()
    assert [epochs for _, epochs in toy.trained] == [1] * 9 + [3] * 3 + [9]
    ranked = sorted(trials, key=lambda trial: -trial.setting.learning_rate)
    assert [len(trial.accuracy) for trial in ranked] == [3, 2, 2] + [1] * 6
    assert [trial.state for trial in ranked] == ["complete"] + ["pruned"] * 8
    assert ranked[0].accuracy == pytest.approx({1: 0.19, 3: 0.21, 9: 0.27})


@pytest.mark.parametrize("rung", [1, 3, 9])
def test_a_search_that_was_killed_at_a_rung_ends_as_if_it_had_not_been(tmp_path, rung):
    search = Search(rungs=[1, 3, 9], eta=3)
    whole = Toy(tmp_path / "whole", search)
    expected = whole.run()
    cut = Toy(tmp_path / "cut", search, killed_at=rung)
    with pytest.raises(Killed):
        cut.run()
    again = Toy(tmp_path / "cut", search)
    assert again.run() == expected and cut.trained + again.trained == whole.trained


def test_a_search_that_was_killed_while_it_ended_trials_ends_the_others(tmp_path, monkeypatch):
    search, finish = Search(rungs=[1, 3], eta=3), Ledger.finish
    expected, ended = Toy(tmp_path / "whole", search).run(), []

    def dies(self, trial, complete):
        if len(ended) == 2:
            raise Killed
        ended.append(trial.number)
        finish(self, trial, complete)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "finish", dies)
        with pytest.raises(Killed):
            Toy(tmp_path / "cut", search).run()
    again = Toy(tmp_path / "cut", search)
    assert again.run() == expected and [epochs for _, epochs in again.trained] == [3, 3, 3]


def test_a_search_that_was_killed_while_settings_were_noted_tries_the_same_ones(tmp_path, monkeypatch):
    search, add = Search(rungs=[1], eta=2, trials=5), Ledger.add
    expected, noted = Toy(tmp_path / "whole", search).run(), []

    def dies(self, setting):
        if len(noted) == 3:
            raise Killed
        noted.append(setting)
        add(self, setting)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add", dies)
        with pytest.raises(Killed):
            Toy(tmp_path / "cut", search).run()
    assert Toy(tmp_path / "cut", search).run() == expected and len(expected) == 5


def test_trials_that_diverge_fail_and_the_others_go_on(tmp_path, monkeypatch):
    class Diverging(Toy):
        def _train(self, trials, epochs):
            found = super()._train(trials, epochs)
            return {number: top1 for number, top1 in found.items() if top1 < 0.17 + epochs / 100}

    trials = Diverging(tmp_path, Search(rungs=[1, 3], eta=2)).run()
    by_rate = sorted(trials, key=lambda trial: -trial.setting.learning_rate)
    assert [trial.state for trial in by_rate] == ["fail"] * 2 + ["complete"] * 3 + ["pruned"] * 4
    assert by_rate[0].accuracy == {} and best_of(trials) == by_rate[2].setting
    with pytest.raises(InputError, match="all 2 trials diverged. Search among smaller learning rates"):
        best_of(by_rate[:2])


def test_a_run_that_diverges_is_told_from_one_that_fails(tmp_path, monkeypatch):
    def run(self, trials, epochs):
        asked.append([trial.number for trial in trials])
        if len(trials) > 7:
            for trial in trials[:2]:
                RunLog(tmp_path / trial.name).write("not_finite", step=3)
            raise InputError("trial00 ended with status 2")
        return [0.5] * len(trials)
    asked = []
    monkeypatch.setattr(Halving, "_run", run)
    toy = Toy(tmp_path, Search(rungs=[1]))
    monkeypatch.setattr(Toy, "_train", Halving._train)
    assert [trial.state for trial in toy.run()] == ["fail"] * 2 + ["complete"] * 7
    assert asked == [list(range(9)), list(range(2, 9))]

    def full_disk(self, trials, epochs):
        raise InputError("the disk is full")
    monkeypatch.setattr(Halving, "_run", full_disk)
    with pytest.raises(InputError, match="the disk is full"):
        Toy(tmp_path / "other", Search(rungs=[1])).run()


def test_later_rounds_learn_from_earlier_ones_and_are_resumed_alike(tmp_path):
    space = Space(["ones"], Range(0.001, 1.0), [None], {"ones": (1.0,)})
    search = Search(rungs=[1, 3], eta=3, trials=18, sampler="tpe", rounds=3, learning_rate={"low": 0.001, "high": 1.0})
    expected = Toy(tmp_path / "whole", search, space).run()
    rates = [trial.setting.learning_rate for trial in expected]
    assert sum(rates[12:]) / 6 > sum(rates[:6]) / 6
    with pytest.raises(Killed):
        Toy(tmp_path / "cut", search, space, killed_at=3).run()
    assert Toy(tmp_path / "cut", search, space).run() == expected


def test_checkpoints_of_trials_that_do_not_go_on_are_removed(tmp_path):
    for number in range(9):
        folder = tmp_path / f"trial{number:02d}"
        (folder / "checkpoints" / "step_1").mkdir(parents=True)
        (folder / "latest").symlink_to("checkpoints/step_1")
        (folder / "log.jsonl").write_text("")
    Toy(tmp_path, Search(rungs=[1], eta=3)).run()
    assert not list(tmp_path.glob("*/checkpoints")) and not list(tmp_path.glob("*/latest"))
    assert len(list(tmp_path.glob("*/log.jsonl"))) == 9


def test_trials_are_spread_over_rounds_and_epochs_are_counted():
    assert round_sizes(7, 3) == [3, 2, 2] and round_sizes(4, 1) == [4]
    assert epochs_of(9, Search(rungs=[1, 3, 9], eta=3)) == 9 * 1 + 3 * 2 + 1 * 6


@pytest.mark.parametrize("options, space, message", [
    ({}, SPACE._replace(learning_rate=Range(0.1, 1.0)), "a range .* has endlessly many")])
def test_all_of_a_range_cannot_be_tried(options, space, message):
    with pytest.raises(InputError, match=message):
        space.count(Search(**options))


def test_no_more_settings_are_tried_than_there_are():
    assert SPACE.count(Search(trials=100)) == 9 and SPACE.count(Search(trials=4)) == 4 and SPACE.count(Search()) == 9
    assert SPACE.grid()[0] == Setting("ones", 0.1, None)
