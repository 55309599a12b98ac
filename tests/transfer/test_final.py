from __future__ import annotations

import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.recipe.plan import jobs_of
from ssld.transfer.final import final_recipe, rows_of
from ssld.transfer.ledger import Trial
from ssld.transfer.space import Setting, Space

CONFIG = Config({"Optimizer": {"weight_decay": 0.1}})
SPACE = Space(["half", "1 1"], [0.1, 0.2], [0.0], {"half": (0.5, 0.5), "1 1": (1.0, 1.0), "ones": (1.0, 1.0)})
TRIALS = [Trial(0, Setting("half", 0.1, 0.0), {1: 0.5, 3: 0.9}, "complete"),
          Trial(1, Setting("1 1", 0.1, 0.0), {1: 0.6}, "pruned"), Trial(2, Setting("1 1", 0.2, 0.0), {1: 0.7}, "pruned")]


def test_a_baseline_has_the_rate_that_was_best_with_its_multipliers(plan_of):
    plan = plan_of({"final.baselines": ["ones", "scratch"], "final.scratch": {"Optimizer.lr.learning_rate": 0.4}})
    best, ones, scratch = rows_of(plan, SPACE, CONFIG, TRIALS[0].setting, TRIALS)
    assert best.title == "best: half, rate 0.1, l2 0" and best.changes["Arch.student.lr_mult_list"] == [0.5, 0.5]
    assert ones.setting == TRIALS[2].setting and ones.changes["Arch.student.lr_mult_list"] == [1.0, 1.0]
    assert scratch.changes == {"Arch.student.pretrained": False, "Arch.student.new_classifier": False,
                               "Optimizer.lr.learning_rate": 0.4}


def test_a_baseline_that_was_not_searched_has_the_best_rate(plan_of):
    rows = rows_of(plan_of({"final.baselines": ["ones"]}), SPACE, CONFIG, TRIALS[0].setting, TRIALS[:1])
    assert rows[1].setting == Setting("ones", 0.1, 0.0)


def test_a_baseline_that_the_search_found_is_not_trained_twice(plan_of, capsys):
    rows = rows_of(plan_of({"final.baselines": ["ones"]}), SPACE, CONFIG, TRIALS[2].setting, TRIALS)
    assert [row.name for row in rows] == ["best"] and "baseline 'ones' is what the search found" in capsys.readouterr().out


def test_a_baseline_that_does_not_exist_is_refused(plan_of):
    with pytest.raises(InputError, match="final.baselines: there is no 'hlaf'. Did you mean 'half'"):
        rows_of(plan_of({"final.baselines": ["hlaf"]}), SPACE, CONFIG, TRIALS[0].setting, TRIALS)


def test_every_row_is_trained_with_every_seed(plan_of, tmp_path):
    plan = plan_of({"final.seeds": [4, 7]})
    rows = rows_of(plan, SPACE, CONFIG, TRIALS[0].setting, TRIALS)
    jobs = jobs_of(final_recipe(plan, rows, tmp_path / "final.yaml"))
    assert [job.name for job in jobs] == [f"{row}/seed{seed}" for row in ("best", "ones", "scratch") for seed in (4, 7)]
    assert jobs[3].folder == tmp_path / "out" / "final" / "ones" / "seed7" and "Global.seed=7" in jobs[3].arguments
