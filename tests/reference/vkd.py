"""VkD's loss in float64: normalisations of rows [n, d], and the smooth L1 distance."""
import numpy as np


def layernorm(rows, epsilon=1e-5):
    return (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + epsilon)


def standardize(rows, epsilon=1e-6):
    return (rows - rows.mean(0)) / (rows.std(0, ddof=1) + epsilon)


def whiten(rows, epsilon=0.0):
    centred = rows - rows.mean(0)
    covariance = (1 - epsilon) * np.cov(rows.T) + epsilon * np.eye(rows.shape[1])
    return centred @ np.linalg.inv(np.linalg.cholesky(covariance)).T


def none(rows):
    return rows


def smooth_l1(a, b):
    distance = np.abs(a - b)
    return np.where(distance < 1, distance ** 2 / 2, distance - 0.5).mean()


def loss(z, matrix, t, normalize):
    """z [n, d_s], W [d_t, d_s], t [n, d_t]."""
    y, function = z @ matrix.T, globals()[normalize]
    return smooth_l1(function(y) if normalize == "standardize" else y, function(t))
