import base64
import re

import cv2
import numpy as np

from dedup.sheet import write_png
from ssld.report.expansion import read_expansion, uncertain_removals
from ssld.report.pictures import pair, thumbnail


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


def test_a_pair_shows_both_pictures_side_by_side_without_the_text_below(curated):
    expansion = read_expansion(curated)
    [match] = uncertain_removals(expansion, 5)
    assert pixels_of(pair(match, expansion)).shape == (240, 2 * 240 + 8, 3)


def test_a_pair_whose_file_is_gone_leaves_a_box(curated):
    expansion = read_expansion(curated)
    [match] = uncertain_removals(expansion, 5)
    assert "cannot be read" in pair(match._replace(reference="gone.png"), expansion)
