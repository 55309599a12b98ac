"""Loss terms in float64, written from the formulas; logits are [B, C] arrays, losses scalars (mean over rows)."""
import numpy as np


def log_softmax(z):
    z = np.asarray(z, np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def kl(log_a, log_b):
    """KL(a || b) of each row."""
    return (np.exp(log_a) * (log_a - log_b)).sum(-1)


def symmetric_kl(z_s, z_t, temperature=1.0):
    log_p, log_q = log_softmax(np.asarray(z_s) / temperature), log_softmax(np.asarray(z_t) / temperature)
    return ((kl(log_p, log_q) + kl(log_q, log_p)) / 2).mean()


def symmetric_kl_gradient(z_s, z_t, temperature=1.0):
    """dL/dz_s,i = ((p_i - q_i) + p_i (r_i - sum_c p_c r_c)) / 2 / T / B,  r = log p - log q."""
    log_p, log_q = log_softmax(np.asarray(z_s) / temperature), log_softmax(np.asarray(z_t) / temperature)
    p, q, r = np.exp(log_p), np.exp(log_q), log_p - log_q
    return ((p - q) + p * (r - (p * r).sum(-1, keepdims=True))) / 2 / temperature / len(p)


def jensen_shannon(z_s, z_t, temperature=1.0):
    log_p, log_q = log_softmax(np.asarray(z_s) / temperature), log_softmax(np.asarray(z_t) / temperature)
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    return ((kl(log_p, log_m) + kl(log_q, log_m)) / 2).mean()


def jensen_shannon_gradient(z_s, z_t, temperature=1.0):
    """dL/dz_s,i = p_i (log p_i - log m_i - KL(p || m)) / 2 / T / B; the terms through m cancel."""
    log_p, log_q = log_softmax(np.asarray(z_s) / temperature), log_softmax(np.asarray(z_t) / temperature)
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    return np.exp(log_p) * (log_p - log_m - kl(log_p, log_m)[:, None]) / 2 / temperature / len(log_p)


def cross_entropy(z_s, target):
    """- sum_c target_c log p_c; `target` [B, C] holds probabilities."""
    return -(np.asarray(target) * log_softmax(z_s)).sum(-1).mean()


def cross_entropy_gradient(z_s, target):
    """(p - target) / B."""
    return (np.exp(log_softmax(z_s)) - target) / len(z_s)


def smoothed(label, class_num, epsilon=0.0):
    """Label smoothing: (1 - e) one-hot + e / C."""
    return (1 - epsilon) * np.eye(class_num)[label] + epsilon / class_num


def kd(z_s, z_t, temperature=1.0):
    """T^2 KL(q || p) at temperature T."""
    log_p, log_q = log_softmax(np.asarray(z_s) / temperature), log_softmax(np.asarray(z_t) / temperature)
    return temperature ** 2 * kl(log_q, log_p).mean()


def kd_gradient(z_s, z_t, temperature=1.0):
    """T (p - q) / B."""
    log_p, log_q = log_softmax(np.asarray(z_s) / temperature), log_softmax(np.asarray(z_t) / temperature)
    return temperature * (np.exp(log_p) - np.exp(log_q)) / len(log_p)


def discriminator(answers, layers):
    """Linear layers [(weight [in, out], bias [out]), ...], a ReLU after each."""
    for weight, bias in layers:
        answers = np.maximum(np.asarray(answers, np.float64) @ weight + bias, 0)
    return answers


def discriminator_loss(student, teacher, layers):
    """Binary cross-entropy of both outputs of every row, targets [1, 0] for the student's and [0, 1] for the teacher's."""
    parts = []
    for answers, target in ((student, [1, 0]), (teacher, [0, 1])):
        probability = 1 / (1 + np.exp(-discriminator(answers, layers)))
        parts.append(-np.where(np.asarray(target) == 1, np.log(probability), np.log(1 - probability)))
    return np.concatenate(parts).mean()
