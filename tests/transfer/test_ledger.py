from __future__ import annotations

import os

import pytest

from ssld.errors import InputError
from ssld.transfer.ledger import FILE, Ledger
from ssld.transfer.space import Range, Setting

pytest.importorskip("optuna")
CANDIDATES = {"multipliers": ["ones", "half"], "learning_rate": Range(0.01, 1.0), "l2": [None]}
FIRST, SECOND = Setting("ones", 0.123456789, None), Setting("half", 0.5, None)
PLAN = {"search.eta": 3, "student": "ab"}


def filled(folder):
    ledger = Ledger(folder, CANDIDATES, PLAN)
    ledger.add(FIRST)
    ledger.add(SECOND)
    one, other = ledger.trials()
    ledger.report(one, 1, 0.25)
    ledger.report(other, 1, 0.75)
    ledger.finish(ledger.trials()[0], complete=False)
    ledger.report(other, 3, 0.875)
    ledger.finish(ledger.trials()[1], complete=True)
    return ledger


def test_what_was_noted_is_there_when_it_is_opened_again(tmp_path):
    filled(tmp_path)
    one, other = Ledger(tmp_path, CANDIDATES, PLAN).trials()
    assert one == (0, FIRST, {1: 0.25}, "pruned") and one.name == "trial00"
    assert other == (1, SECOND, {1: 0.75, 3: 0.875}, "complete")


def test_a_journal_that_ends_after_any_byte_can_be_gone_on_with(tmp_path):
    filled(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    starts = [place + 1 for place, byte in enumerate(whole[:-1]) if byte == 10]
    known = []
    for end in sorted({*starts, *(start + 7 for start in starts)}):
        (tmp_path / FILE).write_bytes(whole[:end])
        os.symlink(FILE, tmp_path / f"{FILE}.lock")             # held by the process that was killed
        ledger = Ledger(tmp_path, CANDIDATES, PLAN)
        trials = ledger.trials()
        known.append(len(trials))
        ledger.add(SECOND)
        assert Ledger(tmp_path, CANDIDATES, PLAN).trials() == [*trials, (len(trials), SECOND, {}, "running")]
    assert known[0] == 0 and known[-1] == 2 and known == sorted(known)


@pytest.mark.parametrize("changed, message", [
    ({"search.eta": 2}, "search.eta was 3, and is 2 now"), ({"student": "cd"}, "student was 'ab', and is 'cd' now"),
    ({"new": 1}, "new was None, and is 1 now")])
def test_a_journal_of_another_search_is_refused_with_what_differs(tmp_path, changed, message):
    filled(tmp_path)
    with pytest.raises(InputError, match=f"is of another search: {message}"):
        Ledger(tmp_path, CANDIDATES, {**PLAN, **changed})


@pytest.mark.parametrize("content", ["no journal\n", '{"op_code": 99, "worker_id": "x"}\n', "[]\n{}\n"])
def test_a_file_that_is_no_journal_is_refused_by_name(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"search\.journal cannot be read as the journal of a search"):
        Ledger(tmp_path, CANDIDATES, PLAN)
