import base64
import re

import cv2
import numpy as np

from dedup.sheet import write_png
from ssld.report.comparison import read_comparison, uncertain_removals
from ssld.report.pictures import PictureFolder, pair, thumbnail


def pixels_of(html):
    data = base64.b64decode(re.search(r'base64,([^"]+)"', html)[1])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_a_thumbnail_keeps_proportions_and_colours(tmp_path):
    write_png(tmp_path / "a.png", np.full((200, 400, 3), (250, 120, 10), np.uint8))
    pixels = pixels_of(thumbnail("a.png", str(tmp_path), "words"))
    assert pixels.shape == (64, 128, 3)
    assert np.abs(pixels.astype(int) - (250, 120, 10)).max() <= 4       # what JPEG leaves of a plain colour


def test_a_small_picture_is_not_enlarged(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((20, 30, 3), np.uint8))
    assert pixels_of(thumbnail("a.png", str(tmp_path), "words")).shape == (20, 30, 3)


def test_a_file_that_cannot_be_read_leaves_a_box_that_says_so(tmp_path):
    made = thumbnail("<gone>.png", str(tmp_path), '"words"')
    assert "cannot be read" in made and "&lt;gone&gt;" in made and 'aria-label="&quot;words&quot;"' in made


def test_a_pair_shows_both_pictures_side_by_side_without_the_text_below(compared):
    comparison = read_comparison(compared)
    [match] = uncertain_removals(comparison, 1)
    assert pixels_of(pair(match, comparison)).shape == (240, 2 * 240 + 8, 3)


def test_a_pair_whose_file_is_gone_leaves_a_box(compared):
    comparison = read_comparison(compared)
    [match] = uncertain_removals(comparison, 1)
    assert "cannot be read" in pair(match._replace(reference="gone.png"), comparison)
    folder = PictureFolder(compared / "pictures", comparison, set())
    for made in (folder.pair(match._replace(reference="gone.png")), folder.single("gone.png")):
        assert "cannot be read" in made
    assert not folder.used and not folder.folder.exists()


def test_a_picture_beside_the_page_is_read_late_has_its_size_and_is_found_through_its_address(compared):
    comparison = read_comparison(compared)
    [match] = uncertain_removals(comparison, 1)
    folder = PictureFolder(compared / "a #1 page", comparison, set())
    made, [name] = folder.pair(match), folder.used
    assert f'src="a%20%231%20page/{name}"' in made and 'loading="lazy"' in made and 'width="648" height="320"' in made
    assert cv2.imread(str(folder.folder / name)).shape == (320, 648, 3)


def test_pictures_are_drawn_once_and_those_of_earlier_pages_are_removed(compared):
    comparison = read_comparison(compared)
    first, second = uncertain_removals(comparison, 2)
    early = PictureFolder(compared / "pictures", comparison, set())
    early.pair(first)
    early.pair(second)
    drawn = {file.name: file.stat().st_mtime_ns for file in early.folder.iterdir()}
    (early.folder / "mine.txt").write_text("not ours to remove")
    late = PictureFolder(compared / "pictures", comparison, set())
    late.pair(first)
    late.tidy()
    assert {file.name for file in late.folder.iterdir()} == {*late.used, "mine.txt"} and len(late.used) == 1
    assert all((late.folder / name).stat().st_mtime_ns == drawn[name] for name in late.used)
