"""Threads of the libraries underneath."""
from __future__ import annotations

import contextlib

import cv2
import faiss


@contextlib.contextmanager
def one_thread():
    """One thread for OpenCV and faiss inside: processes are the parallelism here, and several share a machine."""
    before = cv2.getNumThreads(), faiss.omp_get_max_threads()
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        faiss.omp_set_num_threads(before[1])
