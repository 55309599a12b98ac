"""From a real comparison to its page, and back: decisions of a person change the result without another comparison."""
import json
import re

import cv2
import numpy as np
import pytest

from dedup import remove_copies
from dedup.overrides import Overrides
from ssld.report.review import write_review

HOSTILE = 'copy <b>"&\'.png'


def photo(seed):
    """Noise at several scales, which has key points everywhere."""
    random, canvas = np.random.default_rng(seed), np.full((160, 200, 3), 128.0)
    for cells in (3, 6, 12, 24, 48):
        canvas += cv2.resize(random.normal(0, 160 / cells ** 0.5, (cells, cells, 3)), (200, 160), interpolation=cv2.INTER_CUBIC)
    return np.clip(canvas, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """A pool of a mirrored, cropped copy and two other pictures, and the evaluation picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, pixels in ((HOSTILE, photo(0)[20:150, 10:190][:, ::-1]), ("日本.png", photo(1)), ("other.png", photo(2)),
                         ("val.png", photo(0))):
        assert cv2.imwrite(str(folder / name), pixels)
    (folder / "pool.txt").write_text(f"{HOSTILE}\t1\n日本.png\t2\nother.png\t3\ngone.png\t4\n", encoding="utf-8")
    (folder / "eval.txt").write_text("val.png\t0\n")
    return folder


def compare(lists, out, **options):
    remove_copies(lists / "pool.txt", lists / "eval.txt", out, delimiter="\t", max_error_fraction=0.5, **options)
    page = write_review(out).read_text(encoding="utf-8")
    kinds = re.findall(r'data-path="([^"]+)" data-kind="([^"]+)" data-run="(\w+)" data-machine="(\w+)"', page)
    text = {"&quot;": '"', "&#x27;": "'", "&lt;": "<", "&gt;": ">", "&amp;": "&"}
    return {json.loads(re.sub("&[^;]+;", lambda m: text[m[0]], path)): rest for path, *rest in kinds}, page


def test_a_real_run_has_a_card_for_its_copy_with_a_picture_of_the_evidence(lists, tmp_path):
    cards, page = compare(lists, tmp_path / "out")
    assert cards[HOSTILE][1:] == ["remove", "remove"] and "mirrored" in page
    [picture] = (tmp_path / "out" / "review_pictures").glob("*.jpg")
    pixels = cv2.imread(str(picture)).astype(int)
    green = (pixels[..., 1] > 150) & (pixels[..., 0] < 110) & (pixels[..., 2] < 110)
    assert np.count_nonzero(green) > 200                    # lines between key points
    assert "1 file skipped as unreadable" in page


def test_decisions_that_are_applied_show_as_such_and_are_kept_for_the_next_file(lists, tmp_path):
    compare(lists, tmp_path / "out")
    cards, _ = compare(lists, tmp_path / "out", overrides=Overrides(frozenset({HOSTILE}), frozenset({"日本.png"})))
    assert cards["日本.png"] == ["by hand", "remove", "keep"]
    assert "日本.png" not in (tmp_path / "out" / "kept.txt").read_text(encoding="utf-8")
    assert HOSTILE in (tmp_path / "out" / "kept.txt").read_text(encoding="utf-8")
