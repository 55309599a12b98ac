"""How to make it again: configs, commands, inputs and versions."""
from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import dedup

from ... import __version__
from ...config import Config
from ..expansion import Expansion
from ..ladder import CONFIG, Run
from ..markup import Html, folded, join, markup, paragraph, table

_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddleclas", "numpy", "opencv-python", "faiss-cpu")


def section(runs: Sequence[Run], expansions: Sequence[Expansion]) -> Html:
    """A folded config per run and per expansion, hashes of the lists, versions."""
    parts = [paragraph("Every run left its resolved config; the same config on the same lists makes the same run.")]
    parts += [_config(run.name, f"ssld train -c {Path(run.rung.run) / CONFIG}", run.config) for run in runs]
    parts += [_config(f"expansion in {e.folder}", f"ssld expand -c {e.origin.get('config_file', 'the config below')}",
                      Config(e.origin["config"])) for e in expansions if "config" in e.origin]
    hashes = {(name, e.report["files"].get(name, ""), digest) for e in expansions
              for name, digest in e.origin.get("inputs", {}).items()}
    if hashes:
        rows = [(name, file, markup("<code>{}</code>", digest)) for name, file, digest in sorted(hashes)]
        parts.append(table(("list", "file", "sha256"), rows, "Lists that curation read", text_columns=3))
    return join([*parts, _versions(expansions)])


def _config(name: str, command: str, config: Config) -> Html:
    return folded(name, markup("<p><code>{}</code></p><pre>{}</pre>", command, config.to_yaml()))


def _versions(expansions: Sequence[Expansion]) -> Html:
    used = sorted({e.comparison.manifest["version"] for e in expansions})
    made_with = f" (comparison made with {', '.join(used)})" if used else ""
    rows = [("ssld", __version__), ("dedup", dedup.__version__ + made_with),
            ("Python", platform.python_version()), *((name, _version(name)) for name in _PACKAGES if _version(name)),
            ("machine", f"{platform.system()} {platform.machine()}")]
    return table(("what", "version"), rows, "Versions this page was made with", text_columns=2)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
