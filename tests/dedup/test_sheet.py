import tarfile

import cv2
import numpy as np
import pytest

from dedup import ReferenceIndex
from dedup.errors import InputError
from dedup.sheet import contact_sheet, draw_match, least_certain_first, write_png


@pytest.fixture
def matches(evaluation, pool):
    index = ReferenceIndex.build(["0.png", "1.png"], root=evaluation)
    return index.match(["same.png", "crop.jpg", "mirror.jpg"], pool).best()


def test_the_least_certain_come_first_and_equal_bytes_last(matches):
    order = [m.query for m in least_certain_first([matches[0], *matches])]
    assert order[-2:] == ["same.png", "same.png"]
    flat = matches[1]._replace(query="flat", inliers=0, agreement=0.0, affine=None)
    assert least_certain_first([*matches, flat])[0].query == "flat"


def test_a_pair_stands_side_by_side_with_outline_and_lines(matches, pool, evaluation):
    picture = draw_match(matches[1], pool, evaluation, side=200)
    assert picture.dtype == np.uint8 and picture.shape[1:] == (408, 3) and picture.shape[0] > 200
    assert (np.abs(picture[:200].astype(int) - (255, 140, 0)).sum(axis=2) < 30).sum() > 100       # outline
    gap = picture[:200, 200:208].astype(int)
    assert (np.abs(gap - (40, 200, 60)).sum(axis=2) < 60).sum() > 10        # lines


def test_the_outline_lies_where_the_crop_was_taken(matches, pool, evaluation):
    drawn, plain = (draw_match(m, pool, evaluation, side=320)[:320, 328:].astype(int)
                    for m in (matches[1], matches[1]._replace(affine=None)))
    orange = np.argwhere((np.abs(drawn - (255, 140, 0)).sum(axis=2) < 30) & (drawn != plain).any(axis=2))
    # rows 30 to 200 and columns 60 to 290 of 240 x 320, below 40 rows of white; a line is 2 pixels wide
    assert np.abs(orange.min(axis=0) - (70, 60)).max() <= 3
    assert np.abs(orange.max(axis=0) - (239, 289)).max() <= 3


def test_a_match_without_geometry_is_drawn_without_lines(matches, pool, evaluation):
    plain = draw_match(matches[1]._replace(affine=None), pool, evaluation)
    assert (plain[:240, 240:248] == 255).all()


def test_a_contact_sheet_has_rows_and_columns(matches, pool, evaluation):
    tile = draw_match(matches[0], pool, evaluation, 100)
    page = contact_sheet(matches, pool, evaluation, columns=2, side=100)
    assert page.shape == (2 * (tile.shape[0] + 16), 2 * (tile.shape[1] + 16), 3)
    with pytest.raises(InputError, match="no pair to draw"):
        contact_sheet([], pool, evaluation)


def test_a_duplicate_inside_the_pool_is_drawn_from_the_pool_alone(matches, pool, tmp_path):
    duplicate = matches[0]._replace(reference="jpeg.jpg", reason="pool-duplicate")
    picture = draw_match(duplicate, pool, tmp_path / "nowhere", side=100)
    assert np.array_equal(picture[:100], draw_match(duplicate._replace(reason="sha256"), pool, pool, side=100)[:100])


def test_a_listed_file_is_drawn_from_the_pool_image_of_the_same_bytes_and_comes_last(matches, pool, tmp_path):
    listed = matches[0]._replace(reference="elsewhere.png", reason="listed", inliers=0, affine=None)
    picture = draw_match(listed, pool, tmp_path / "nowhere", side=100)
    assert np.array_equal(picture[:100, :100], picture[:100, 108:])
    assert least_certain_first([listed, *matches[1:]])[-1] is listed


def test_an_override_has_no_pair_and_is_left_out(matches, pool, evaluation):
    override = matches[0]._replace(reference="", reason="override")
    assert least_certain_first([override, matches[1]]) == [matches[1]]
    assert np.array_equal(contact_sheet([override, matches[1]], pool, evaluation, side=100),
                          contact_sheet([matches[1]], pool, evaluation, side=100))
    with pytest.raises(InputError, match="no pair to draw"):
        contact_sheet([override], pool, evaluation)
    with pytest.raises(InputError, match="same.png was removed by an override"):
        draw_match(override, pool, evaluation)


def test_members_of_tar_files_are_drawn_like_files(matches, pool, evaluation, tmp_path):
    for name, folder in (("pool.tar", pool), ("val.tar", evaluation)):
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.add(folder, arcname=".")
    inside = matches[1]._replace(query=f"pool.tar/{matches[1].query}", reference=f"val.tar/{matches[1].reference}")
    assert np.array_equal(draw_match(inside, tmp_path, tmp_path)[:240], draw_match(matches[1], pool, evaluation)[:240])


def test_a_wrong_root_is_named(matches, pool, tmp_path):
    with pytest.raises(InputError, match="0.png cannot be read below .*--eval-root"):
        draw_match(matches[0], pool, tmp_path / "nowhere")


def test_a_png_keeps_its_colours(tmp_path):
    write_png(tmp_path / "a.png", np.full((4, 5, 3), (250, 20, 10), np.uint8))
    assert cv2.imread(str(tmp_path / "a.png"))[0, 0].tolist() == [10, 20, 250]
