"""Every row has exactly one fate."""
import numpy as np

from dedup.lists import Paths
from ssld.curation.fates import FATES, Fates


def test_the_counts_add_up_to_the_rows():
    fates = Fates(10)
    fates.set(np.array([1, 3]), "duplicate", ["sift of a.jpg", "hash of b.jpg"])
    fates.set(np.arange(10) == 5, "repeated")
    assert sum(fates.counts().values()) == 10 and set(fates.counts()) == set(FATES)
    assert fates.counts()["duplicate"] == 2 and fates.having("repeated").tolist().index(True) == 5


def test_the_table_names_every_path_once(tmp_path):
    fates = Fates(3)
    fates.set([1], "duplicate", ["sift of val/1.jpg"])
    fates.set([2], "repeated")
    fates.write(tmp_path / "fates.tsv", Paths.of(["a b.jpg", "ü.jpg", "a b.jpg"]))
    assert (tmp_path / "fates.tsv").read_text(encoding="utf-8").splitlines() == [
        "path\tfate\tdetail", "a b.jpg\tnot selected\t", "ü.jpg\tduplicate\tsift of val/1.jpg"]
