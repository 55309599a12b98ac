"""Trains as `ssld train` does and leaves every process's weights in output_dir/rank<N>.npz: two_ranks.py CONFIG."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from ssld import build, device  # noqa: E402
from ssld.config import Config  # noqa: E402


def main(config: Config) -> None:
    settings = build.build_settings(config)
    device.start(settings.device)
    trainer = build.build_trainer(config)
    trainer.fit()
    np.savez(Path(settings.output_dir) / f"rank{device.rank()}.npz",
             **{name: tensor.numpy() for name, tensor in trainer.model.state_dict().items()})


if __name__ == "__main__":
    main(Config.load(sys.argv[1]))
