from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.softlabels import inspect
from ssld.softlabels.codec import Codec
from ssld.softlabels.crops import Crops
from ssld.softlabels.store import Store
from ssld.softlabels.writer import StoreWriter

CLASSES, IMAGES, CROPS = 20, 11, 6
LOST = 3                        # row of the image that could not be read


def distributions(seed=0):
    logits = np.random.default_rng(seed).normal(0, 2, (IMAGES, CROPS, CLASSES))
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def write_store(folder, kind="marginal_smoothing", k=5, labels=None, readable=None, probabilities=None, **meta) -> Store:
    """A store of images of 40 x 30 pixels; crop j of image i has its corner at (i, j) and 10 + j x 20 pixels."""
    probabilities = distributions() if probabilities is None else probabilities
    readable = np.arange(IMAGES) != LOST if readable is None else readable
    codec = Codec(kind, k, CLASSES)
    labels = np.arange(IMAGES) if labels is None else labels
    images = Manifest(folder, [f"a/{i}.jpg" for i in range(IMAGES)], labels)
    writer = StoreWriter(folder, meta, images, codec, CROPS)
    [shard] = writer.shards()
    for row in range(IMAGES):
        box = np.array([[row, crop, 10 + crop, 20] for crop in range(CROPS)])
        records = codec.encode(probabilities[row], Crops(box, np.arange(CROPS) % 2 == 1))
        if not readable[row]:
            records = np.zeros_like(records)
        size = np.array([40]) * readable[row], np.array([30]) * readable[row]
        shard.append(records[None], *size, readable[row:row + 1])
    shard.close()
    writer.finish()
    return Store(folder)


@pytest.mark.parametrize("kind, k", [("hard", None), ("smoothing", None), ("marginal_smoothing", 5), ("marginal_renorm", 3),
                                     ("full", None)])
def test_facts_are_those_of_the_dense_labels(tmp_path, kind, k):
    store = write_store(tmp_path, kind, k)
    facts = inspect.facts_of(store, 1)
    dense = store.codec.dense(store.records(1)).astype(np.float64)
    terms = np.where(dense > 0, dense * np.log(np.where(dense > 0, dense, 1)), 0)
    assert facts.entropy == pytest.approx(-terms.sum(1), abs=1e-5)
    assert facts.confidence == pytest.approx(dense.max(1)) and np.array_equal(facts.top, dense.argmax(1))
    assert facts.area == pytest.approx((10 + np.arange(CROPS)) * 20 / 1200)
    assert facts.aspect == pytest.approx(20 / (10 + np.arange(CROPS)))
    kept = {"hard": 1, "full": CLASSES, "smoothing": 1}.get(kind, k)
    mass = np.ones(CROPS) if kind == "hard" else np.sort(distributions()[1], 1)[:, -kept:].sum(1)
    assert facts.mass == pytest.approx(mass, abs=1e-4)


def test_a_survey_counts_agreement_where_there_are_labels(tmp_path):
    top = distributions().argmax(-1)
    labels = top[:, 0].copy()
    labels[[0, 5]] = -1
    found = inspect.survey(write_store(tmp_path, labels=labels))
    assert LOST not in found.rows and len(found.rows) == IMAGES - 1
    rows = [row for row in range(IMAGES) if row not in (0, 5, LOST)]
    assert found.labelled == len(rows) * CROPS
    assert found.right.sum() == (top[rows] == labels[rows][:, None]).sum()
    assert found.distinct.tolist() == [len(set(top[row])) for row in range(IMAGES) if row != LOST]


def test_a_survey_of_few_images_spreads_them_from_the_first_to_the_last(tmp_path):
    found = inspect.survey(write_store(tmp_path), images=4)
    assert found.rows.tolist() == [0, 4, 7, 10] and len(found.facts.area) == 4 * CROPS


def test_a_store_without_labels_of_images_says_so(tmp_path):
    store = write_store(tmp_path, labels=np.full(IMAGES, -1))
    found = inspect.survey(store)
    assert found.labelled == 0 and not found.right.any()
    assert "none of these images has a label" in inspect.text(store, found)


def test_a_store_without_readable_images_and_a_sample_of_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="none of the 11 images .* could be read"):
        inspect.survey(write_store(tmp_path / "a", readable=np.zeros(IMAGES, bool)))
    with pytest.raises(InputError, match="--sample must be a whole number"):
        inspect.survey(write_store(tmp_path / "b"), 0)


def test_labels_that_are_certain_or_even_have_the_entropy_of_the_formula(tmp_path):
    probabilities = np.zeros((IMAGES, CROPS, CLASSES))
    probabilities[:, 0, 7] = 1
    probabilities[:, 1:] = 1 / CLASSES
    entropy = inspect.facts_of(write_store(tmp_path, probabilities=probabilities), 0).entropy
    assert entropy[0] == 0 and entropy[1:] == pytest.approx(np.full(CROPS - 1, math.log(CLASSES)), abs=1e-4)


def test_the_table_names_what_is_known_and_what_is_not(tmp_path):
    store = write_store(tmp_path, teachers=[{"name": "R50"}, {"name": "R101"}], scale=[0.08, 1], seed=7)
    facts = dict(inspect.describe(store))
    assert facts["kind"] == "marginal_smoothing" and facts["classes"] == "20"
    assert (facts["images"], facts["readable images"]) == ("11", "10")
    assert facts["teachers"] == "R50, R101" and facts["area of crops"] == "0.08 to 1" and facts["seed"] == "7"
    assert facts["not known"] == "input size, interpolation, temperature, width / height of crops"
    size = sum(file.stat().st_size for file in tmp_path.iterdir() if file.suffix in (".bin", ".npz"))
    assert facts["bytes per crop"] == f"{size / (IMAGES * CROPS):.2f} (a record has 28)"
    assert facts["SHA-256 of the paths"] == json.loads((tmp_path / "meta.json").read_text())["images_sha256"]


def test_means_and_percentiles_are_those_of_the_crops(tmp_path):
    store = write_store(tmp_path)
    found = inspect.survey(store)
    rows = dict(inspect.figures(store, found))
    assert rows["kept mass"] == pytest.approx([found.facts.mass.mean(), *np.percentile(found.facts.mass, inspect.PERCENTILES)])
    printed = inspect.text(store, found)
    assert "of 10 images, 60 crops" in printed and f"{found.facts.mass.mean():.3f}" in printed


def test_evenly_takes_all_of_few():
    assert inspect.evenly(np.arange(3), 5).tolist() == [0, 1, 2] and inspect.evenly(np.arange(9), 1).tolist() == [0]
