"""The demo's ladder over several seeds: mean and spread of each rung, from the logs of finished demos.

    for s in 0 1 2; do ssld demo --out demo_seed$s --seed $s; done
    python benchmarks/demo_seeds.py demo_seed0 demo_seed1 demo_seed2 --out benchmarks/results/demo_seeds.json
"""
from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from dedup.files import write_json
from ssld import __version__
from ssld.config import Config
from ssld.report.ladder import read_run
from ssld.report.settings import read_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", nargs="+", type=Path, help="output folders of ssld demo")
    parser.add_argument("--out", required=True, help="JSON file to write")
    args = parser.parse_args()
    rungs: dict[str, list[float]] = {}
    for demo in args.demos:
        for run in map(read_run, read_settings(Config.load(demo / "configs" / "report.yaml")).rungs):
            rungs.setdefault(run.name, []).append(100 * run.top1)
    result = {name: {"top1": values, "mean": statistics.mean(values),
                     "spread": statistics.stdev(values) if len(values) > 1 else None} for name, values in rungs.items()}
    write_json(args.out, {"ssld": __version__, "demos": [demo.name for demo in args.demos], "rungs": result})
    print("| run | " + " | ".join(demo.name for demo in args.demos) + " | mean ± standard deviation |")
    print("|---" * (len(args.demos) + 2) + "|")
    for name, row in result.items():
        spread = f" ± {row['spread']:.1f}" if row["spread"] is not None else ""
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in row["top1"]) + f" | {row['mean']:.1f}{spread} |")


if __name__ == "__main__":
    main()
