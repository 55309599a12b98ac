"""ScaleKD's projector, views and costs in float64, written from the paper and the released code's description."""
import numpy as np


def convolve(x, weight, bias):
    """3 x 3, stride 1, zero padding 1: [B, C, H, W] -> [B, C', H, W]."""
    _, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    made = sum(np.einsum("bchw,oc->bohw", padded[:, :, i:i + height, j:j + width], weight[:, :, i, j])
               for i in range(3) for j in range(3))
    return made + bias[None, :, None, None]


def standardized(x, axes, weight, bias, shape):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(axes, keepdims=True) + 1e-5) * weight.reshape(shape) + bias.reshape(shape)


def softmax(x):
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def projector(w, feature, heads, scale=1.0, query=None, norm="bn"):
    """CAP: [B, Cs, H, W] -> [B, P, Ct] with the weights w by name; batch norm in training mode."""
    u = convolve(feature, w["stem.weight"], w["stem.bias"])
    u = standardized(u, (0, 2, 3) if norm == "bn" else (1,), w["norm.weight"], w["norm.bias"], (1, -1, 1, 1))
    kv = (np.maximum(u, 0) + w["pos_embed"]).reshape(*u.shape[:2], -1).transpose(0, 2, 1)

    def linear(name, x):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    query = np.broadcast_to(w["query"], (len(feature), *w["query"].shape[1:])) if query is None else query
    q = linear("to_query", np.maximum(linear("before_query", query), 0))
    k, v = linear("to_key", kv), linear("to_value", kv)
    d = q.shape[-1] // heads
    read = np.concatenate([softmax(scale * q[..., h:h + d] @ k[..., h:h + d].transpose(0, 2, 1) / np.sqrt(d)) @ v[..., h:h + d]
                           for h in range(0, heads * d, d)], -1)
    n = standardized(linear("out", read), (2,), w["out_norm.weight"], w["out_norm.bias"], (1, 1, -1))
    return n + linear("narrow", np.maximum(linear("widen", n), 0))


def distance(made, target):
    """D, term by term."""
    made, target = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (made, target))
    return ((made - target) ** 2).sum() / len(made)


def without_constant(tokens, grid):
    """Each channel's map without the constant term of its two-dimensional discrete cosine transform (type II)."""
    maps = tokens.transpose(0, 2, 1).reshape(len(tokens), -1, *grid)
    rows, columns = (np.array([[2 * np.cos(np.pi * (2 * n + 1) * k / (2 * size)) for n in range(size)] for k in range(size)])
                     for size in grid)
    spectrum = np.einsum("kh,bchw,lw->bckl", rows, maps, columns)
    spectrum[:, :, 0, 0] = 0
    maps = np.einsum("hk,bckl,wl->bchw", np.linalg.inv(rows), spectrum, np.linalg.inv(columns))
    return maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
