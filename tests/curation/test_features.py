from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import paddle
import pytest

from ssld.curation import features
from ssld.curation.features import ProgramEmbedding, TeacherEmbedding
from ssld.data.transforms import build_transforms
from ssld.errors import InputError
from ssld.models.features import WithFeatures
from ssld.models.zoo import build_network
from ssld.teachers.onednn import export_program

OPS = [{"DecodeImage": {}}, {"ResizeImage": {"size": 16}}, "NormalizeImage", "ToCHWImage"]


def network_of(seed: int):
    paddle.seed(seed)
    return build_network("SmallResNet", 5, width=4)


@pytest.fixture
def files(tmp_path, make_list):
    make_list(tmp_path, "pool", 7)
    return [str(tmp_path / "pool" / f"{i}.jpg") for i in range(7)]


def counted_network(file: str):
    with open(file, "a") as out:
        out.write("x")
    return network_of(3)


def transform():
    return build_transforms(OPS, "test")


def teacher(**options):
    return TeacherEmbedding(partial(network_of, 3), transform(), **options)


def expected_of(files) -> np.ndarray:
    network = WithFeatures(network_of(3))
    network.eval()
    images = np.stack([transform()(file, None) for file in files])
    with paddle.no_grad():
        return network(paddle.to_tensor(images)).numpy()[:, 5:]


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"engine": "eager", "batch_size": 2}])
def test_rows_are_the_pooled_features_in_the_order_of_the_files(files, options):
    rows = teacher(**options)(files)
    assert rows.shape == (7, 16) and rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected_of(files), rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(files):
    embed = teacher(batch_size=4)
    together = embed(files)
    np.testing.assert_array_equal(embed(files[2:3])[0], embed(files[2:5])[0])
    np.testing.assert_allclose(embed(files[6:7])[0], together[6], rtol=1e-5)


def test_a_picture_that_cannot_be_read_is_a_row_of_zeros_and_is_counted(files, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    embed = teacher()
    rows = embed([files[0], str(tmp_path / "broken.jpg"), files[1], str(tmp_path / "missing.jpg")])
    assert not rows[[1, 3]].any() and rows[0].any() and embed.unreadable == 2
    np.testing.assert_array_equal(rows[[0, 2]], embed(files[:2]))
    said = capsys.readouterr().err
    assert said.count("warning: ") == 2 and "broken.jpg gets no features" in said


def test_later_a_batch_may_be_unreadable_as_a_whole_even_in_another_process(files, tmp_path):
    embed = teacher()
    embed(files[:1])
    for copy in (embed, pickle.loads(pickle.dumps(embed))):
        np.testing.assert_array_equal(copy([str(tmp_path / "missing.jpg")]), np.zeros((1, 16)))


def test_when_nothing_can_be_read_from_the_start_it_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none of 1 pictures can be read by the network's transforms.*missing.jpg"):
        teacher()([str(tmp_path / "missing.jpg")])


def test_transforms_with_chance_are_refused():
    with pytest.raises(InputError, match="transforms without chance"):
        TeacherEmbedding(partial(network_of, 3), build_transforms([OPS[0], {"RandCropImage": {"size": 16}}, *OPS[2:]], "test"))


def test_copies_share_one_network_in_a_process_and_others_have_their_own(files, tmp_path):
    opened = tmp_path / "opened"
    embed = TeacherEmbedding(partial(counted_network, str(opened)), transform(), engine="eager")
    sent = pickle.dumps(embed)
    rows = [copy(files) for copy in (embed, pickle.loads(sent), pickle.loads(sent))]
    assert opened.read_text() == "x" and len(sent) < 20_000
    np.testing.assert_array_equal(rows[0], rows[1])
    TeacherEmbedding(partial(counted_network, str(opened)), transform(), engine="eager")(files)
    assert opened.read_text() == "xx"


def test_a_process_keeps_few_networks_open_and_opens_them_again(files):
    embeds = [TeacherEmbedding(partial(network_of, seed), transform(), engine="eager") for seed in range(3)]
    first = [embed(files) for embed in embeds]
    assert len(features._opened) <= 2
    for embed, rows in zip(embeds, first):
        np.testing.assert_array_equal(embed(files), rows)


@pytest.fixture
def program(tmp_path):
    export_program(network_of(3), tmp_path / "inference", (16, 16))
    return tmp_path / "inference"


def test_any_exported_program_is_an_embedding(program, files):
    network = network_of(3)
    network.eval()
    images = paddle.to_tensor(np.stack([transform()(file, None) for file in files]))
    rows = ProgramEmbedding(program, transform(), batch_size=4)(files)
    with paddle.no_grad():
        np.testing.assert_allclose(rows, network(images).numpy(), rtol=1e-4, atol=1e-5)


def test_answers_of_more_dimensions_are_flattened(tmp_path, files):
    export_program(network_of(3).stem, tmp_path / "stem", (16, 16))
    assert ProgramEmbedding(tmp_path / "stem", transform())(files).shape == (7, 4 * 16 * 16)


def test_a_program_pickles_and_opens_again(program, files):
    embed = ProgramEmbedding(program, transform())
    rows = embed(files)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embed))(files), rows)


def test_a_missing_program_is_refused_with_the_files_expected(tmp_path):
    with pytest.raises(InputError, match=r"there is no .*nothing.json. Expected the two files"):
        ProgramEmbedding(tmp_path / "nothing", transform())
