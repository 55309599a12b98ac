from __future__ import annotations

import pytest

from ssld.config import Config, merge
from ssld.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file
    return write


@pytest.fixture
def run(write):
    return write("run.yaml", "Global: {epochs: 2}\nLoss:\n  Train:\n  - JSDivLoss: {weight: 1.0}\n  - CELoss:\n")


def test_mappings_merge_and_lists_are_replaced():
    base = {"a": {"x": 1, "y": 2}, "list": [1, 2], "kept": 0}
    assert merge(base, {"a": {"y": 3}, "list": [4]}) == {"a": {"x": 1, "y": 3}, "list": [4], "kept": 0}
    assert base["a"] == {"x": 1, "y": 2}


def test_later_bases_win_over_earlier_ones_and_the_file_itself_over_all(write):
    write("base/deep.yaml", "a: {p: deep, q: deep}\n")
    write("base/one.yaml", "_BASE_: deep.yaml\na: {q: one, r: one}\nb: one\n")
    write("two.yaml", "a: {r: two, s: two}\nb: two\n")
    config = Config.load(write("run.yaml", "_BASE_: [base/one.yaml, two.yaml]\na: {s: own}\n"))
    assert config.data == {"a": {"p": "deep", "q": "one", "r": "two", "s": "own"}, "b": "two"}


def test_a_base_may_be_reached_twice_but_not_from_itself(write):
    write("root.yaml", "a: 1\n")
    write("left.yaml", "_BASE_: root.yaml\n")
    write("right.yaml", "_BASE_: root.yaml\n")
    assert Config.load(write("run.yaml", "_BASE_: [left.yaml, right.yaml]\n")).data == {"a": 1}
    write("x.yaml", "_BASE_: y.yaml\n")
    with pytest.raises(InputError, match="y.yaml: _BASE_ leads back to itself"):
        Config.load(write("y.yaml", "_BASE_: x.yaml\n"))


def test_an_empty_base_list_is_none(write):
    assert Config.load(write("run.yaml", "_BASE_:\na: 1\n")).data == {"a": 1}


def test_a_missing_base_names_the_file_that_asked_for_it(write):
    with pytest.raises(InputError, match=r"gone.yaml \(a _BASE_ of .*run.yaml\) cannot be read"):
        Config.load(write("run.yaml", "_BASE_: gone.yaml\n"))


@pytest.mark.parametrize("text", ["7e-5", "7E-5", "7.0e-5", "+7e-5", "0.7e-4", "7.e-5"])
def test_a_number_with_an_exponent_is_a_number(write, text):
    value = Config.load(write("run.yaml", f"coeff: {text}\n")).data["coeff"]
    assert isinstance(value, float) and value == pytest.approx(7e-5)


@pytest.mark.parametrize("text", ["e5", "7e", "1e5x", "runs/7e-5", "'7e-5'"])
def test_what_only_resembles_a_number_stays_text(write, text):
    assert isinstance(Config.load(write("run.yaml", f"name: {text}\n")).data["name"], str)


def test_a_key_that_stands_twice_is_refused_with_its_place(write):
    with pytest.raises(InputError, match=r"(?s)run.yaml is not valid YAML: the key 'a' stands twice.*line 2"):
        Config.load(write("run.yaml", "b:\n  a: 1\n  a: 2\n"))


def test_merge_keys_of_yaml_work_and_own_keys_win(write):
    config = Config.load(write("run.yaml", "x: &x {p: 1, q: 2}\ny:\n  <<: *x\n  q: 3\n"))
    assert config.data["y"] == {"p": 1, "q": 3}


@pytest.mark.parametrize("text, message", [("a: [1", "is not valid YAML"), ("just text", "expected sections"),
                                           ("", "expected sections"), ("- 1", "expected sections")])
def test_a_file_that_is_no_config_is_refused_by_name(write, text, message):
    with pytest.raises(InputError, match=f"run.yaml.*{message}"):
        Config.load(write("run.yaml", text))


def test_yaml_cannot_build_python_objects(write, tmp_path):
    with pytest.raises(InputError, match="not valid YAML"):
        Config.load(write("run.yaml", f"a: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]\n"))
    assert not (tmp_path / "made").exists()


def test_an_override_is_split_at_the_first_equals_sign(run):
    assert Config.load(run, ["Global.output_dir=runs/lr=0.1"]).data["Global"]["output_dir"] == "runs/lr=0.1"


@pytest.mark.parametrize("text, value", [("7e-5", 7e-5), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("", None),
                                         ("{a: 1}", {"a": 1}), ("__import__('os')", "__import__('os')")])
def test_the_value_of_an_override_is_read_as_yaml_and_never_run(run, text, value):
    assert Config.load(run, [f"Global.seed={text}"]).data["Global"]["seed"] == value


def test_an_override_reaches_into_lists_and_empty_entries(run):
    train = Config.load(run, ["Loss.Train.0.JSDivLoss.weight=2", "Loss.Train.1.CELoss.epsilon=0.1"]).data["Loss"]["Train"]
    assert train == [{"JSDivLoss": {"weight": 2}}, {"CELoss": {"epsilon": 0.1}}]


def test_an_override_may_make_a_new_nested_key(run):
    assert Config.load(run, ["Optimizer.lr.learning_rate=0.1"]).data["Optimizer"] == {"lr": {"learning_rate": 0.1}}


@pytest.mark.parametrize("override, message", [
    ("Loss.Train.2.CELoss.weight=1", "a list of 2: expected an index from 0 to 1, found '2'"),
    ("Loss.Train.first=1", "found 'first'"),
    ("Global.epochs.x=1", "is the value 2 and holds no 'x'"),
    ("Global.epochs", "expected key=value"), ("=3", "expected key=value"), ("Global.x=[1", "not valid YAML")])
def test_an_override_with_nowhere_to_go_is_refused(run, override, message):
    with pytest.raises(InputError, match=f"-o .*{message}"):
        Config.load(run, [override])


def test_what_is_written_loads_to_the_same_settings(run, tmp_path):
    config = Config.load(run, ["Optimizer.regularizer.coeff=7e-5", "Global.output_dir=Ünïcode"])
    config.write(tmp_path / "resolved.yaml")
    assert Config.load(tmp_path / "resolved.yaml").data == config.data


def test_places_sections_and_strangers_are_named_with_the_file():
    config = Config({"Arch": {"name": 1}, "Loss": [1], "Optimzer": {}}, "a.yaml")
    assert config.where("Loss", "Train", 0) == "a.yaml: Loss.Train[0]"
    assert config.section("Metric") == {}
    with pytest.raises(InputError, match="a.yaml: Loss must hold"):
        config.section("Loss")
    with pytest.raises(InputError, match="a.yaml: there is no section 'Optimzer'. Did you mean 'Optimizer'?"):
        config.check_sections(["Arch", "Loss", "Optimizer"])
