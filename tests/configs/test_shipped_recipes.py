"""Every shipped recipe can be read, and runs on small lists in the place of the large ones."""
from pathlib import Path

import pytest

from ssld.compare.read import read_comparison
from ssld.compare.run import check_cells
from ssld.config import Config, read_with_bases
from ssld.methods.base import FROM_TEACHER, METHODS
from ssld.recipe.plan import jobs_of, read_recipe
from ssld.recipe.run import run_recipe
from ssld.registry import import_all

FOLDER = Path(__file__).parents[2] / "configs" / "Distillation" / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))
RECIPES, COMPARISONS = ([file for file in FILES if section in read_with_bases(file)] for section in ("Recipe", "Compare"))
SHORT = {"train": {"Global.epochs": 1, "Global.iter_per_epoch": 1, "Optimizer.lr.warmup_epoch": 0,
                   "DataLoader.Train.sampler.batch_size": 4},
         "soft-labels": {"SoftLabels.crops": 4}, "expand": {"Select.k": 2, "Select.count": 3}, "eval": {}}


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_config_of_a_recipe_can_be_read(file):
    for job in jobs_of(read_recipe(Config.load(file))):
        overrides = [job.arguments[i + 1] for i, argument in enumerate(job.arguments) if argument == "-o"]
        assert Config.load(job.stage.config, overrides).section("Global")["output_dir"] == str(job.folder)


def test_every_file_is_a_recipe_or_a_comparison():
    assert sorted(RECIPES + COMPARISONS) == FILES and COMPARISONS


@pytest.mark.parametrize("file", COMPARISONS, ids=lambda file: file.stem)
def test_every_cell_of_a_comparison_can_be_built(file):
    check_cells(read_comparison(Config.load(file)))


def test_the_comparison_of_methods_has_all_of_them():
    import_all("ssld.methods")
    comparison = read_comparison(Config.load(FOLDER / "cifar10_methods.yaml"))
    used = {column.name: {name for cell in comparison.cells if cell.column == column for loss in cell.losses for name in loss}
            for column in comparison.columns}
    for name in METHODS.names():
        if METHODS.get(name, "").needs & FROM_TEACHER and name != "ScaleKDLoss":        # needs a transformer: cifar10_scalekd
            assert all(name in names for names in used.values()), f"cifar10_methods.yaml compares no {name}"


@pytest.mark.slow
@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_shipped_recipe_runs(file, tmp_path, monkeypatch, make_list):
    monkeypatch.chdir(tmp_path)
    for name, count in (("labelled_list", 12), ("train_list", 16), ("val_list", 8)):
        make_list(tmp_path / "dataset" / "cifar10", name, count, 10, 32)
    lists = tmp_path / "dataset" / "cifar10"
    (lists / "all_list.txt").write_text((lists / "train_list.txt").read_text())
    (lists / "held_out").mkdir()
    for name in ("train", "val"):
        rows = (lists / f"{name}_list.txt").read_text().splitlines()
        (lists / "held_out" / f"source_{name}_list.txt").write_text(
            "".join(f"{row.split()[0]} {int(row.split()[1]) % 6}\n" for row in rows))
    for folder in ("cifar10", "cifar10_spoilt"):
        make_list(tmp_path / "dataset" / folder, "pool_list", 20, 10, 32, labelled=False)
    (tmp_path / "dataset" / "cifar10_spoilt" / "pool_list.txt").write_text(
        "".join(f"cifar10_spoilt/pool_list/{i}.jpg\n" for i in range(20)))
    config = Config.load(file, ["Recipe.seeds=[0]"])
    for stage in config.data["Recipe"]["stages"]:
        short = {k: v for k, v in SHORT[stage.get("command", "train")].items()
                 if not (k.startswith("Select") and ("random" in stage["name"]) != k.endswith("count"))}
        stage["set"] = {**stage.get("set", {}), **short}
    summary = run_recipe(read_recipe(config), 2)
    assert summary.is_file() and (tmp_path / summary).with_suffix(".svg").is_file()
