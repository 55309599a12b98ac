"""Where the time of a distillation step goes: CPU milliseconds of its parts.

    python benchmarks/phases.py --out benchmarks/results/phases.json

Teachers by each engine and students by both take turns in one process; medians. The pairs are those of step.py.
"""
from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections import defaultdict

import paddle
from step import ENGINES, PAIRS, network_of, processor

from dedup.files import write_json
from ssld import __version__, device
from ssld.methods.js import symmetric_kl
from ssld.models.onednn import use_onednn
from ssld.optim.optimizers import Momentum
from ssld.outputs import log_softmax
from ssld.teachers.onednn import runs_bf16


def phases_of(teacher, student, size: int, batch_size: int, rounds: int, discard: int) -> dict:
    """Median CPU milliseconds of each part of a step."""
    network, eager = network_of(*teacher), network_of(*student)
    network.eval(), eager.train()
    fast = copy.deepcopy(eager)
    use_onednn(fast)
    students = {name: (net, Momentum(net, 0.01)) for name, net in (("eager", eager), ("onednn", fast))}
    engines = {name: make(network) for name, make in ENGINES.items() if name != "onednn_bf16" or runs_bf16()}
    image, spent = paddle.randn([batch_size, 3, size, size]), defaultdict(list)

    def clocked(part: str, call):
        began = time.process_time()
        answer = call()
        spent[part].append(1000 * (time.process_time() - began))
        return answer

    for _ in range(rounds + discard):
        for name, engine in engines.items():
            target = clocked(f"teacher, {name}", lambda e=engine: e(image))
        for name, (net, optimizer) in students.items():
            logits = clocked(f"student forward, {name}", lambda n=net: n(image))
            loss = clocked("loss", lambda z=logits, t=target: symmetric_kl(log_softmax(z), log_softmax(t)).mean())
            clocked(f"backward, {name}", loss.backward)
            clocked("optimizer", lambda o=optimizer: (o.step(), o.clear_grad()))
    return {part: statistics.median(values[discard:]) for part, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--discard", type=int, default=2, help="first rounds that do not count")
    parser.add_argument("--pairs", nargs="*", default=["small", "mobilenet_small", "mobilenet_large"], choices=list(PAIRS))
    args = parser.parse_args()
    device.start("cpu")
    found = {}
    for name in args.pairs:
        (teacher, *_), (student, *_), size, batch_size = PAIRS[name]
        found[f"{teacher} -> {student}, {size} px, batch {batch_size}"] = phases_of(*PAIRS[name], args.rounds, args.discard)
        write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": processor(),
                              "threads": device.cpu_threads(), "cpu_ms": found})
    for pair, parts in found.items():
        print(pair, {part: round(ms, 1) for part, ms in parts.items()})


if __name__ == "__main__":
    main()
