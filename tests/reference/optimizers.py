"""Optimizer steps in float64 from a list of gradients: the weight after each step."""
import numpy as np


def momentum(weight, gradients, rate, mu=0.9, decay=0.0, nesterov=False):
    """v = mu v + g + decay w;  w -= rate v, or rate (g + decay w + mu v) in Nesterov's form."""
    weight, velocity, path = np.asarray(weight, np.float64), 0.0, []
    for gradient in gradients:
        slope = gradient + decay * weight
        velocity = mu * velocity + slope
        weight = weight - rate * (slope + mu * velocity if nesterov else velocity)
        path.append(weight)
    return path


def adamw(weight, gradients, rate, decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """w -= rate decay w;  w -= rate m_hat / (sqrt(v_hat) + epsilon)."""
    weight, m, v, path = np.asarray(weight, np.float64), 0.0, 0.0, []
    for t, gradient in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient ** 2
        weight = weight * (1 - rate * decay)
        weight = weight - rate * m / (1 - beta1 ** t) / (np.sqrt(v / (1 - beta2 ** t)) + epsilon)
        path.append(weight)
    return path
