"""Every shipped YAML builds what it names, and says what was published."""
import re
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image

from ssld import build, build_networks
from ssld.build_soft_labels import run_generation
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.small_resnet import SmallResNet
from ssld.models.weights import save_weights
from ssld.models.zoo import backbone_names, build_network
from ssld.softlabels.passes import CropPass, CropSampler, plan_passes
from ssld.timetable import Timetable
from ssld.train.run import train

CONFIGS = Path(__file__).parents[2] / "configs" / "Distillation"
SHIPPED = sorted(str(file.relative_to(CONFIGS)) for file in CONFIGS.rglob("*.yaml")
                 if "_base_" not in file.parts and "recipes" not in file.parts)
RUNS = [name for name in SHIPPED if "student" in Config.load(CONFIGS / name).section("Arch")]    # others curate, label, ...
LABELS = [name for name in SHIPPED if "SoftLabels" in Config.load(CONFIGS / name).data]

# student, epochs, L2, total batch, cards, rate, top-1 in percent: Cui et al., arXiv:2103.05959, and PaddleClas
DISTILLED = [
    ("MobileNetV1", 360, 3e-5, 4096, 8, 1.6, "77.65"),
    ("MobileNetV2", 360, 1e-5, 3072, 8, 0.54, "76.34"),
    ("MobileNetV3_large_x1_0", 360, 1e-5, 5760, 24, 3.65625, "78.54"),
    ("MobileNetV3_small_x1_0", 360, 1e-5, 5760, 24, 3.65625, "70.11"),
    ("ResNet50_vd", 360, 7e-5, 1024, 32, 0.4, "82.07"),
    ("ResNet101_vd", 360, 7e-5, 1024, 32, 0.4, "83.41"),
    ("Res2Net200_vd_26w_4s", 360, 4e-5, 1024, 32, 0.4, "84.82"),
    ("ResNet50_vd_autoaugment", 360, 2e-5, 1024, 32, 0.4, "82.99"),
]
FINETUNED = [
    ("MobileNetV1", 30, 3e-5, 4096, 8, 0.016, "77.89"),
    ("MobileNetV2", 30, 1e-5, 3072, 8, 0.0054, "76.73"),
    ("MobileNetV3_large_x1_0", 30, 1e-5, 2048, 8, 0.008, "78.96"),
    ("MobileNetV3_small_x1_0", 30, 1e-5, 6400, 32, 0.025, "71.28"),
    ("ResNet50_vd", 60, 7e-5, 1024, 32, 0.004, "82.39"),
    ("ResNet101_vd", 30, 7e-5, 1024, 32, 0.004, "83.73"),
    ("Res2Net200_vd_26w_4s", 360, 4e-5, 1024, 32, 0.004, "85.13"),
]
KNOWN_BY_NAME = [
    ("R50_vd_distill_MV3_large_x1_0", 120, 1e-5, 2048, 8, 1.3, "76.2"),
    ("ResNeXt101_32x16d_wsl_distill_ResNet50_vd", 120, 7e-5, 1024, 32, 0.4, None),
]
# config, student, optimiser, rate, weight decay, jitter, mixing, top-1: Shen and Xing, arXiv:2112.01528, released commands
FKD = [
    ("ResNet50", "ResNet50", "Momentum", 0.1, 1e-4, False, False, "79.8"),
    ("ResNet101", "ResNet101", "Momentum", 0.1, 1e-4, False, False, "81.7"),
    ("ResNet50_jitter", "ResNet50", "Momentum", 0.2, 1e-4, True, False, "80.1"),
    ("ResNet101_jitter", "ResNet101", "Momentum", 0.2, 1e-4, True, False, "81.9"),
    ("ResNet50_adamw", "ResNet50", "AdamW", 0.002, 0.05, False, False, "80.2"),
    ("ResNet101_adamw", "ResNet101", "AdamW", 0.002, 0.05, False, False, None),
    ("FBNetC", "FBNetC", "AdamW", 0.002, 0.05, False, False, "77.13"),
    ("EfficientNetV2_B0", "EfficientNetV2_B0", "AdamW", 0.002, 0.05, False, False, "79.94"),
    ("DeiT_tiny_patch16_224", "DeiT_tiny_patch16_224", "AdamW", 0.002, 0.05, False, True, "75.2"),
    ("SReT_LT", "SReT_LT", "AdamW", 0.002, 0.05, False, True, "78.7"),
    ("FerKD_ResNet50", "ResNet50", "AdamW", 0.002, 0.05, False, True, "81.2"),
]
PUBLISHED = ([(f"SSLD/{name}.yaml", *row) for name, *row in DISTILLED]
             + [(f"finetune/{name}.yaml", *row) for name, *row in FINETUNED]
             + [(f"{name}.yaml", *row) for name, *row in KNOWN_BY_NAME])


def load(name, *overrides):
    return Config.load(CONFIGS / name, overrides)


def dataset(config, mode):
    return config.data["DataLoader"][mode]["dataset"]


def is_light(network):
    """Whether a network is built and trained in less than a second; of the others one run is in the default set."""
    return network.startswith(("MobileNet", "Small"))


def slow_if_heavy(name):
    light = is_light(load(name).section("Arch")["student"]["name"]) or name == "SSLD/ResNet50_vd_autoaugment.yaml"
    return pytest.param(name, marks=[] if light else [pytest.mark.slow])


def slow_but(light):
    """The recipes of FKD/; those not in `light` are slow."""
    names = sorted(str(file.relative_to(CONFIGS)) for file in (CONFIGS / "FKD").glob("*.yaml"))
    return [pytest.param(name, marks=[] if Path(name).stem in light else [pytest.mark.slow])
            for name in names if name in RUNS]


def write_labels(config, make_store):
    """The stored labels that a config asks for, of the picture that `write_images` leaves."""
    arch = config.section("Arch")
    if (arch.get("teacher") or {}).get("source") == "stored":
        listed = Path(dataset(config, "Train")["image_root"]) / "one.txt"
        listed.write_text("Train.jpg 0\n")
        make_store(arch["teacher"]["path"], listed, "marginal_smoothing", 5, crops=8, class_num=arch["student"]["class_num"])


def write_images(config, images=512):
    """The lists of a config and a picture for each, where the config says, below the working folder."""
    for seed, mode in enumerate(config.section("DataLoader")):
        root, listed = Path(dataset(config, mode)["image_root"]), Path(dataset(config, mode)["cls_label_path"])
        root.mkdir(parents=True, exist_ok=True)
        listed.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (80, 90, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{mode}.jpg")
        listed.write_text(f"{mode}.jpg 0\n{mode}.jpg 1\n" * (images // 2))


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Paths in the configs are relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_weights(monkeypatch):
    """Networks keep their random weights: nothing is downloaded, no earlier run is needed."""
    monkeypatch.setattr(build_networks, "published_weights", lambda *_: "published")
    monkeypatch.setattr(build_networks, "load_weights", lambda *_: Path(__file__))


@pytest.fixture
def stand_ins(monkeypatch):
    """A small network in place of each heavy one."""
    def light(name, class_num, where, **options):
        assert name in backbone_names()
        name = {"ResNet50": "ResNet18", "ResNet152": "ResNet18"}.get(name, name)        # configs name their stages and options
        own = is_light(name) or name == "ResNet18" or name.endswith("_conv_stem")       # a config names features of these
        return build_network(name, class_num, where, **options) if own else SmallResNet(class_num)
    monkeypatch.setattr(build_networks, "build_network", light)


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("ScaleKD/")])      # test_scalekd_configs.py
def test_a_shipped_config_builds_a_run_as_it_stands(name, no_weights, stand_ins, make_store):
    """Nothing is overridden; unknown sections, names and options would be refused on the way."""
    config = load(name)
    write_images(config)
    write_labels(config, make_store)
    trainer = build.build_trainer(config)
    assert trainer.total_steps > 0
    assert len(trainer.model.terms) == len(config.section("Loss")["Train"])


@pytest.mark.parametrize("section", ["Global", "Arch.student", "Arch.teacher", "Optimizer", "Optimizer.lr",
                                     "Optimizer.regularizer", "Loss.Train.0.JSDivLoss", "DataLoader.Train.dataset",
                                     "DataLoader.Train.sampler", "DataLoader.Train.loader"])
def test_a_misspelt_option_is_refused(section, no_weights):
    config = load("R50_vd_distill_MV3_large_x1_0.yaml", "Arch.student.name=SmallResNet",
                  "Arch.teacher.name=SmallResNet", f"{section}.lerning_rate=1")
    write_images(config)
    with pytest.raises(InputError, match="lerning_rate"):
        build.build_trainer(config)


@pytest.mark.parametrize("name, epochs, l2, batch, cards, rate, top1", PUBLISHED)
def test_a_config_has_the_published_settings(name, epochs, l2, batch, cards, rate, top1):
    config = load(name)
    optimizer = config.section("Optimizer")
    assert config.section("Global")["epochs"] == epochs
    assert optimizer["regularizer"] == {"name": "L2", "coeff": l2}
    assert config.data["DataLoader"]["Train"]["sampler"]["batch_size"] * cards == batch
    assert (optimizer["name"], optimizer["momentum"]) == ("Momentum", 0.9)
    assert optimizer["lr"] == {"name": "Cosine", "warmup_epoch": 5, "learning_rate": rate}
    schedule = build.build_schedule(config, Timetable.uniform(config.section("Global")["epochs"], 100))
    assert schedule(500) == rate                # the first step after the warm-up


@pytest.mark.parametrize("name, top1", [(row[0], row[-1]) for row in PUBLISHED if row[-1]]
                         + [(f"FKD/{row[0]}.yaml", row[-1]) for row in FKD if row[-1]])
def test_a_config_and_the_readme_show_the_published_accuracy(name, top1):
    assert f"published top-1 {top1} %" in (CONFIGS / name).read_text()
    assert f" {top1} |" in (CONFIGS / "README.md").read_text()


@pytest.mark.parametrize("name, batch, cards", [(row[0], row[3], row[4]) for row in PUBLISHED])
def test_the_comment_beside_the_batch_is_right(name, batch, cards):
    bases = [CONFIGS / name, CONFIGS / name.replace("finetune/", "SSLD/").replace("_autoaugment", "")]
    stated = [re.search(r"total batch (?:of )?(\d+) = (\d+) cards x (\d+)", file.read_text()) for file in bases]
    total, counted, each = map(int, next(filter(None, stated)).groups())
    assert (total, counted, each) == (batch, cards, batch // cards)


@pytest.mark.parametrize("name", [row[0] for row in PUBLISHED])
def test_mobilenets_learn_from_the_distilled_resnet50_and_resnets_from_resnext(name):
    arch, loss = load(name).section("Arch"), load(name).section("Loss")
    if arch["student"]["name"].startswith("MobileNet"):
        assert arch["teacher"] == {"name": "ResNet50_vd", "class_num": 1000, "pretrained": True, "use_ssld": True}
    else:
        assert arch["teacher"] == {"name": "ResNeXt101_32x16d_wsl", "class_num": 1000, "pretrained": True}
    assert loss == {"Train": [{"JSDivLoss": {"weight": 1.0}}]}


@pytest.mark.parametrize("name", [row[0] for row in PUBLISHED])
def test_only_distillation_from_scratch_sees_the_expanded_list(name):
    config = load(name)
    expanded = dataset(config, "Train")["cls_label_path"] == "dataset/expanded/train_list.txt"
    assert expanded == name.startswith("SSLD/")
    assert dataset(config, "Eval")["cls_label_path"] == "dataset/ILSVRC2012/val_list.txt"


@pytest.mark.parametrize("student", [row[0] for row in FINETUNED])
def test_fine_tuning_starts_from_the_run_of_the_same_student(student):
    before, after = load(f"SSLD/{student}.yaml"), load(f"finetune/{student}.yaml")
    assert after.section("Arch")["student"]["pretrained"] == f"{before.section('Global')['output_dir']}/best"
    assert after.section("Arch")["teacher"] == before.section("Arch")["teacher"]
    assert after.section("Optimizer")["regularizer"] == before.section("Optimizer")["regularizer"]


@pytest.mark.parametrize("name, student, optimizer, rate, decay, jitter, mixing, top1", FKD)
def test_a_run_from_stored_labels_has_the_settings_of_its_recipe(name, student, optimizer, rate, decay, jitter, mixing, top1):
    config = load(f"FKD/{name}.yaml")
    arch, settings, train_set = config.section("Arch"), config.section("Optimizer"), config.data["DataLoader"]["Train"]
    operators = [next(iter(op)) if isinstance(op, dict) else op for op in train_set["dataset"]["transform_ops"]]
    assert arch["student"] == {"name": student, "class_num": 1000}
    assert (config.section("Global")["epochs"], train_set["sampler"]["batch_size"] * 8) == (300, 1024)
    assert (arch["teacher"]["crops_per_image"], arch["teacher"]["policy"]) == (4, "random")
    assert config.section("Loss") == {"Train": [{"SoftCELoss": {"weight": 1.0}}]}
    assert (settings["name"], settings["lr"]["learning_rate"]) == (optimizer, rate)
    assert settings.get("weight_decay", settings.get("regularizer", {}).get("coeff")) == decay
    assert ("ColorJitter" in operators, "batch_transform_ops" in train_set["dataset"]) == (jitter, mixing)
    assert train_set["dataset"]["transform_ops"][1] == {"RandCropImage": {"size": 224, "backend": "pil"}}


def fkd_timetable(config, images=1281167, world=8):
    """The passes of a config, and their timetable on ImageNet-1k and 8 cards."""
    teacher, sampler = config.section("Arch")["teacher"], config.data["DataLoader"]["Train"]["sampler"]
    options = {key: teacher[key] for key in ("one_crop_epochs", "tail", "tail_ahead") if key in teacher}
    passes = plan_passes(config.section("Global")["epochs"], teacher["crops_per_image"], **options)
    steps = CropSampler(images, sampler["batch_size"], teacher["crops_per_image"], passes, drop_last=sampler["drop_last"],
                        world=world)
    return passes, steps.timetable


def rates(config):
    """The learning rate at the first step of each pass."""
    passes, timetable = fkd_timetable(config)
    schedule = build.build_schedule(config, timetable)
    first, rates = 0, []
    for pass_ in timetable.passes:
        rates.append(schedule(first))
        first += pass_.steps
    return passes, np.array(rates), first


def test_the_plain_recipe_has_the_passes_steps_and_rates_of_the_released_code():
    passes, found, steps = rates(load("FKD/ResNet50.yaml"))
    assert [pass_.crops for pass_ in passes] == [4] * 74 + [1] * 4 and steps == 74 * 5005 + 4 * 1252
    starts = np.array([*range(0, 296, 4), 296, 297, 298, 299])
    np.testing.assert_allclose(found, 0.1 * 0.5 * (1 + np.cos(np.pi * starts / 300)), atol=1e-12)


def test_the_recipe_with_adamw_has_those_of_its_own():
    passes, found, _ = rates(load("FKD/FBNetC.yaml"))
    assert [pass_.crops for pass_ in passes] == [1] * 5 + [4] * 73 + [1] * 3
    read_at = np.array([*range(5, 297, 4), 298, 299, 300])
    np.testing.assert_allclose(found[:5], 1e-5 + np.arange(5) * (0.002 - 1e-5) / 5, atol=1e-12)
    np.testing.assert_allclose(found[5:], 1e-5 + 0.5 * (0.002 - 1e-5) * (1 + np.cos(np.pi * read_at / 300)), atol=1e-12)


def test_the_recipe_with_jitter_warms_up_step_by_step():
    config = load("FKD/ResNet50_jitter.yaml")
    schedule = build.build_schedule(config, fkd_timetable(config)[1])
    assert schedule(0) == 0 and 0 < schedule(1) < 1e-4
    assert schedule(5005 + 5005 // 4 + 1) == pytest.approx(0.2, rel=1e-3)       # five epochs are a pass and a quarter


def test_meal_v2_has_the_passes_and_rates_of_its_fast_form():
    config = load("FKD/MEAL_V2_ResNet50.yaml")
    passes, found, _ = rates(config)
    assert passes == [CropPass(epoch, 8, epoch) for epoch in range(0, 200, 8)]
    assert list(found) == [0.01] * 13 + [0.001] * 10 + [0.0001] * 2             # from epochs 104 and 184 on
    assert config.data["DataLoader"]["Train"]["sampler"]["batch_size"] * 8 == 512
    assert config.section("Arch")["student"]["pretrained"] is True
    assert [list(term) for term in config.section("Loss")["Train"]] == [["SoftCELoss"], ["MEALV2Discriminator"]]
    assert not {"regularizer", "weight_decay"} & set(config.section("Optimizer"))


def test_labels_are_written_where_the_runs_read_them():
    paths = {name: load(name).section("SoftLabels").get("output") or load(name).section("Arch")["teacher"]["path"]
             for name in LABELS}
    read = {load(name).section("Arch")["teacher"]["path"] for name in RUNS
            if (load(name).section("Arch").get("teacher") or {}).get("source") == "stored"}
    assert read <= set(paths.values()) and len(set(paths.values())) == len(paths)
    assert load("FKD/labels_300.yaml").section("SoftLabels")["output"] in (CONFIGS / "FKD/labels_300.yaml").read_text()


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if "00" in name else []) for name in LABELS])
def test_a_shipped_generation_builds_measures_and_checks_as_it_stands(name, no_weights, stand_ins, capsys):
    config = load(name, "SoftLabels.num_workers=0", "DataLoader.Eval.loader.num_workers=0")
    write_images(config, images=4)
    assert run_generation(config, dry_run=True) is None
    said = capsys.readouterr().out
    crops = config.section("SoftLabels")["crops"]
    assert f"1 images x {crops} crops x 28 bytes" in said and "get their stored labels" in said
    assert not Path(config.section("SoftLabels").get("output") or config.section("Arch")["teacher"]["path"]).exists()


def test_only_the_autoaugment_run_has_autoaugment():
    with_it = [name for name, *_ in PUBLISHED if "AutoAugment" in dataset(load(name), "Train")["transform_ops"]]
    assert with_it == ["SSLD/ResNet50_vd_autoaugment.yaml"]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("fixres/")])
def test_fixres_trains_the_classifier_on_what_evaluation_sees(name):
    config = load(name)
    ops = dataset(config, "Train")["transform_ops"]
    assert ops == dataset(config, "Eval")["transform_ops"]
    assert {"CropImage": {"size": 320}} in ops
    assert config.section("Arch")["student"]["trainable"] == ["classifier"]
    assert list(config.section("Loss")["Train"][0]) == ["CELoss"]
    sources = [load(other).section("Global")["output_dir"] for other in RUNS]
    assert config.section("Arch")["student"]["pretrained"].removesuffix("/best") in sources


def test_no_two_configs_write_to_the_same_folder():
    folders = [load(name).section("Global")["output_dir"] for name in RUNS]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_resolved_config_is_the_same_run(name, tmp_path):
    load(name).write(tmp_path / "config.yaml")
    assert Config.load(tmp_path / "config.yaml").data == load(name).data


@pytest.fixture
def small(small_pictures):
    """small(name, ...) are overrides that make five classes, pictures of 64 pixels and batches of 2 of a config."""
    def small(name, **more):
        changes = {"Arch.student.class_num": 5, "Global.epochs": 1, "Global.iter_per_epoch": 2, "Optimizer.lr.warmup_epoch": 0,
                   "DataLoader.Train.sampler.batch_size": 2, "DataLoader.Eval.sampler.batch_size": 2,
                   "DataLoader.Train.loader.num_workers": 0, "DataLoader.Eval.loader.num_workers": 0, **more,
                   **small_pictures(load(name), 64)}
        return [f"{key}={value}" for key, value in changes.items()]
    return small


@pytest.fixture
def small_run(small):
    """small_run(name, teacher) is a config made small, its lists, and random weights in files where it asks for weights."""
    def small_run(name, teacher=None):
        more, arch = {}, load(name).section("Arch")
        if arch["student"]["name"].startswith(("DeiT", "SReT")):                # their position maps fit one size
            more["Arch.student.img_size"] = 64
        if arch["student"].get("pretrained"):
            more["Arch.student.pretrained"] = "student.pdparams"
            save_weights(build_network(arch["student"]["name"], 5), "student.pdparams")
        if "name" in (arch.get("teacher") or {}):
            teacher = teacher or arch["teacher"]["name"]
            more["Arch.teacher"] = f"{{name: {teacher}, class_num: 5, pretrained: teacher.pdparams}}"
            save_weights(build_network(teacher, 5), "teacher.pdparams")
        config = load(name, *small(name, **more))
        write_images(config, images=4)
        return config
    return small_run


def two_steps(config):
    """Train two steps; returns the trainer and what the student held before."""
    trainer = build.build_trainer(config)
    before = {key: tensor.numpy().copy() for key, tensor in trainer.model.student.state_dict().items()}
    trainer.model.train()
    for step, batch in enumerate(trainer.loader.batches(0, 2)):
        trainer.optimizer.set_lr(trainer.schedule(step))
        loss = trainer.model(batch).total
        assert np.isfinite(float(loss))
        loss.backward()
        trainer.optimizer.step()
        trainer.optimizer.clear_grad()
    return trainer, before


def changed(trainer, before):
    """Names of the student's tensors that have moved."""
    return {key for key, tensor in trainer.model.student.state_dict().items()
            if not np.array_equal(tensor.numpy(), before[key])}


@pytest.mark.parametrize("name", [slow_if_heavy(row[0]) for row in PUBLISHED])
def test_the_student_trains_two_steps(name, small_run):
    trainer, before = two_steps(small_run(name, teacher="SmallResNet"))
    moved = changed(trainer, before)
    assert {key for key, value in before.items() if value.ndim > 1 or key.endswith("_mean")} <= moved


@pytest.mark.parametrize("name", slow_but(["FBNetC", "SReT_LT"]))
def test_the_student_trains_two_steps_from_stored_labels(name, make_store, small_run):
    config = small_run(name)
    write_labels(config, make_store)
    trainer, before = two_steps(config)
    moved = changed(trainer, before)
    assert {key for key, value in before.items() if value.ndim > 1 or key.endswith("_mean")} <= moved


@pytest.mark.parametrize("name", [slow_if_heavy(name) for name in SHIPPED if name.startswith("fixres/")])
def test_fixres_moves_the_classifier_and_nothing_else(name, small_run):
    trainer, before = two_steps(small_run(name))
    assert changed(trainer, before) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("name, weights", [
    ("R50_vd_distill_MV3_large_x1_0.yaml", "ResNet50_vd_ssld_pretrained.pdparams"),
    pytest.param("ResNeXt101_32x16d_wsl_distill_ResNet50_vd.yaml", "ResNeXt101_32x16_wsl_pretrained.pdparams",
                 marks=pytest.mark.slow),
])
def test_the_real_teacher_teaches_with_its_published_weights(name, weights, small, monkeypatch):
    """The download is replaced by a file of random weights; all else of the run is real, down to the checkpoint."""
    asked = []

    def download(url):
        asked.append(url.rsplit("/", 1)[-1])
        save_weights(build_network(load(name).section("Arch")["teacher"]["name"], 5), asked[-1])
        return asked[-1]

    monkeypatch.setattr(paddle.utils.download, "get_weights_path_from_url", download)
    config = load(name, *small(name, **{"Arch.teacher.class_num": 5, "Arch.teacher.engine": "eager",
                                         "Global.output_dir": "run"}))
    write_images(config, images=4)
    assert (train(config) / "student.pdparams").is_file()
    assert asked == [weights]
