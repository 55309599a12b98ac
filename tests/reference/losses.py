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


def slopes(loss, *arrays, step=1e-6):
    """dL/dx of a scalar function of float64 arrays, for each of them, by central differences."""
    arrays, found = [np.array(array, np.float64) for array in arrays], []
    for array in arrays:
        slope = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            value, ends = array[place], []
            for array[place] in (value + step, value - step):
                ends.append(loss(*arrays))
            array[place] = value
            slope[place] = (ends[0] - ends[1]) / (2 * step)
        found.append(slope)
    return found


def bkd(z_s, z_t):
    """- (q log sigmoid(z) + (1 - q) log(1 - sigmoid(z))), mean over images and classes."""
    q = np.exp(log_softmax(z_t))
    return (q * np.logaddexp(0, -z_s) + (1 - q) * np.logaddexp(0, z_s)).mean()


def dkd(z_s, z_t, label, alpha=1.0, beta=2.0, temperature=1.0):
    """T^2 (alpha KL of two-way distributions + beta KL of the softmax of z / T - 1000 onehot)."""
    own = np.eye(z_s.shape[1])[label]
    two_way, others = [], []
    for z in (z_t / temperature, z_s / temperature):
        p = np.exp(log_softmax(z))
        both = np.stack([(p * own).sum(-1), (p * (1 - own)).sum(-1)], -1)
        two_way.append(np.log(np.maximum(both, 1e-300)))
        others.append(log_softmax(z - 1000 * own))
    return temperature ** 2 * (alpha * kl(*two_way) + beta * kl(*others)).mean()


def dist(z_s, z_t, beta=1.0, gamma=1.0, temperature=1.0):
    """T^2 (beta (1 - mean row correlation) + gamma (1 - mean column correlation))."""
    p, q = np.exp(log_softmax(z_s / temperature)), np.exp(log_softmax(z_t / temperature))

    def rho(x, y):
        x, y = x - x.mean(), y - y.mean()
        return (x @ y) / (np.linalg.norm(x) * np.linalg.norm(y) + 1e-8)

    inter, intra = (1 - np.mean([rho(x, y) for x, y in zip(*both)]) for both in ((p, q), (p.T, q.T)))
    return temperature ** 2 * (beta * inter + gamma * intra)


def correlation(f_s, f_t, w_s, c_s, w_t, c_t, scale=0.02):
    """scale * mean over neighbours of <|e_s - e_t|_b, |e_s - e_t|_(b + 1)>."""
    apart = np.abs(f_s @ w_s + c_s - f_t @ w_t - c_t)
    return scale * np.mean([apart[b] @ apart[b + 1] for b in range(len(apart) - 1)])


def smooth_l1(x, y):
    gap = np.abs(x - y)
    return np.where(gap < 1, gap ** 2 / 2, gap - 0.5).mean()


def rkd(f_s, f_t, distance_weight=25.0, angle_weight=50.0, squared=False):
    """With all differences f_j - f_i written out; a pair nearer than 1e-6 is treated as a row with itself."""
    parts = []
    for f in (f_s.reshape(len(f_s), -1), f_t.reshape(len(f_t), -1)):
        difference = f[None] - f[:, None]
        length = np.linalg.norm(difference, axis=-1)
        apart = length > 1e-6
        distance = np.where(apart, length ** 2 if squared else length, 0)
        direction = np.where(apart[..., None], difference / np.maximum(length, 1e-12)[..., None], 0)
        mean = distance[apart].mean() if apart.any() else 1
        parts.append((distance / mean, np.einsum("ijd,ikd->ijk", direction, direction)))
    (d_s, a_s), (d_t, a_t) = parts
    return distance_weight * smooth_l1(d_s, d_t) + angle_weight * smooth_l1(a_s, a_t)


def convolution(x, weight):
    """[B, C, H, W], [out, C, k, k] -> [B, out, H, W]; zeros around."""
    margin = weight.shape[-1] // 2
    x = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    return np.einsum("bchwij,ocij->bohw", np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3)), weight)


def batch_norm(x, weight, bias):
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weight[:, None, None] + bias[:, None, None]


def nearest(x, size):
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, x.shape[2:]))
    return x[:, :, rows][..., columns]


def average_pool(x, size):
    bounds = [[(i * length // size, -(-(i + 1) * length // size)) for i in range(size)] for length in x.shape[2:]]
    return np.stack([np.stack([x[:, :, a:b, c:d].mean((2, 3)) for c, d in bounds[1]], -1) for a, b in bounds[0]], -2)


def hierarchical_distance(made, target):
    total, weights = ((made - target) ** 2).mean(), []
    for size in [k for k in (4, 2, 1) if k < made.shape[2]]:
        weights.append(0.5 ** (len(weights) + 1))
        total += weights[-1] * ((average_pool(made, size) - average_pool(target, size)) ** 2).mean()
    return total / (1 + sum(weights))


def review(student, teacher, weights):
    """Maps [B, C, H, W] of student and teacher, shallow to deep; weights by the names that the method gives them."""
    loss, left = 0, None
    for level in reversed(range(len(student))):
        def of(name, level=level):
            return weights[f"blocks.{level}.{name}"]
        x = batch_norm(convolution(student[level], of("reduce.0.weight")), of("reduce.1.weight"), of("reduce.1.bias"))
        if left is not None:
            left = nearest(left, x.shape[2:])
            share = convolution(np.concatenate([x, left], 1), of("attention.weight")) + of("attention.bias")[:, None, None]
            share = 1 / (1 + np.exp(-share))
            x = x * share[:, :1] + left * share[:, 1:]
        left = nearest(x, teacher[level].shape[2:])
        made = batch_norm(convolution(left, of("widen.0.weight")), of("widen.1.weight"), of("widen.1.bias"))
        loss += hierarchical_distance(made, teacher[level])
    return loss


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class CRD:
    """Contrastive distillation over several steps; m_s and m_t are the banks, z_s and z_t None until the first step."""

    def __init__(self, m_s, m_t, temperature=0.07, momentum=0.5):
        self.m_s, self.m_t, self.temperature, self.momentum = m_s.copy(), m_t.copy(), temperature, momentum
        self.z_s = self.z_t = None

    def loss(self, f_s, f_t, w_s, c_s, w_t, c_t, index):
        """`index` [B, 1 + K]: an image, then its negatives. Fixes the constants at the first call."""
        v_s, v_t = unit(f_s @ w_s + c_s), unit(f_t @ w_t + c_t)
        o_s, o_t = (np.exp(np.einsum("bkd,bd->bk", bank[index], v) / self.temperature)
                    for bank, v in ((self.m_t, v_s), (self.m_s, v_t)))
        if self.z_s is None:
            self.z_s, self.z_t = len(self.m_s) * o_s.mean(), len(self.m_t) * o_t.mean()
        return self.nce(o_s / self.z_s) + self.nce(o_t / self.z_t)

    def nce(self, o):
        p = (o.shape[1] - 1) / len(self.m_s)
        return -(np.log(o[:, 0] / (o[:, 0] + p + 1e-7)) + np.log(p / (o[:, 1:] + p + 1e-7)).sum(1)).mean()

    def move(self, f_s, f_t, w_s, c_s, w_t, c_t, images):
        for bank, v in ((self.m_s, unit(f_s @ w_s + c_s)), (self.m_t, unit(f_t @ w_t + c_t))):
            new = {i: v[images == i].mean(0) for i in images}
            for i, mean in new.items():
                bank[i] = unit(self.momentum * bank[i] + (1 - self.momentum) * mean)


def bce(z, target):
    """- (y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))), mean over images and classes."""
    return (target * np.logaddexp(0, -z) + (1 - target) * np.logaddexp(0, z)).mean()


def bce_gradient(z, target):
    return (1 / (1 + np.exp(-z)) - target) / z.size
