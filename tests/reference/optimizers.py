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


def lamb(weights, gradients, rate, decay, exempt, beta1=0.9, beta2=0.999, epsilon=1e-6, clip=1.0):
    """Of all tensors together, since the norm of the gradient is global: name -> the weight after each step.

    Args:
        weights: name -> weight.
        gradients: for each step, name -> gradient.
        exempt: names without decay and trust ratio.
    """
    weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    m, v, path = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0), {name: [] for name in weights}
    for t, step in enumerate(gradients, 1):
        norm = np.sqrt(sum((np.asarray(gradient, np.float64) ** 2).sum() for gradient in step.values()))
        for name, weight in weights.items():
            gradient = step[name] / max(norm / clip, 1.0)
            m[name] = beta1 * m[name] + (1 - beta1) * gradient
            v[name] = beta2 * v[name] + (1 - beta2) * gradient ** 2
            change = m[name] / (1 - beta1 ** t) / (np.sqrt(v[name] / (1 - beta2 ** t)) + epsilon)
            if name not in exempt:
                change = change + decay * weight
                lengths = np.linalg.norm(weight), np.linalg.norm(change)
                change = change * (lengths[0] / lengths[1] if min(lengths) > 0 else 1.0)
            weights[name] = weight - rate * change
            path[name].append(weights[name])
    return path
