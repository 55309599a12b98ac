"""The sparse form of a label means what its dense form says."""
import numpy as np

from ssld.softlabels.sparse import SparseLabels


def test_the_excess_stands_on_the_rest():
    excess, rest = np.array([[0.5, 0.2], [0.6, 0]], np.float32), np.array([0.075, 0.1], np.float32)
    labels = SparseLabels(np.array([[2, 0], [1, 3]]), excess, rest)
    dense = labels.dense(4)
    assert dense.dtype == np.float32
    np.testing.assert_allclose(dense, [[0.275, 0.075, 0.575, 0.075], [0.1, 0.7, 0.1, 0.1]], rtol=1e-6)


def test_repeated_ids_add_up_so_that_no_excess_is_padding():
    labels = SparseLabels(np.array([[1, 1, 1]]), np.array([[0.5, 0.25, 0]], np.float32), np.zeros(1, np.float32))
    np.testing.assert_array_equal(labels.dense(3), [[0, 0.75, 0]])
