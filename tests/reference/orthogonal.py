"""Orthonormal matrices [n, k] from free ones, in float64, by the definitions."""
import numpy as np


def householder(free):
    """H_1 ... H_k E, reflector by reflector."""
    n, k = free.shape
    product = np.eye(n)
    for column in range(k):
        v = np.where(np.arange(n) > column, free[:, column], 0.0)
        v[column] = 1.0
        product = product @ (np.eye(n) - 2 * np.outer(v, v) / (v @ v))
    return product[:, :k]


def skew(free):
    """A = L - L^T, L the lower triangle of X, padded with zeros to [n, n]."""
    n, k = free.shape
    lower = np.zeros((n, n))
    lower[:, :k] = np.tril(free)
    return lower - lower.T


def cayley(free):
    """(I - A/2)^-1 (I + A/2) E by the dense solve."""
    a = skew(free) / 2
    return np.linalg.solve(np.eye(len(a)) - a, np.eye(len(a)) + a)[:, :free.shape[1]]


def exp(free):
    """exp(A) E from the eigenvalues of the Hermitian matrix i A."""
    values, vectors = np.linalg.eigh(1j * skew(free))
    return ((vectors * np.exp(-1j * values)) @ vectors.conj().T).real[:, :free.shape[1]]


def gram_schmidt(matrix):
    """The orthonormal basis of the columns, each on the side of its own column."""
    basis = []
    for column in np.asarray(matrix, np.float64).T:
        for _ in range(2):
            for vector in basis:
                column = column - (vector @ column) * vector
        basis.append(column / np.linalg.norm(column))
    return np.stack(basis, 1)


def slope(function, free, weights, step=1e-6):
    """Gradient of sum(weights * function(free)) by central differences."""
    gradient = np.zeros_like(free)
    for place in np.ndindex(*free.shape):
        moved = [free.copy(), free.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = (weights * (function(moved[0]) - function(moved[1]))).sum() / (2 * step)
    return gradient
