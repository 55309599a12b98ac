import cv2
import faiss
import pytest

from dedup.threads import one_thread


def test_threads_are_restored():
    before = cv2.getNumThreads(), faiss.omp_get_max_threads()
    with pytest.raises(KeyError), one_thread():
        assert (cv2.getNumThreads(), faiss.omp_get_max_threads()) == (1, 1)
        raise KeyError
    assert (cv2.getNumThreads(), faiss.omp_get_max_threads()) == before
