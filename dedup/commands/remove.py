"""`python -m dedup POOL --against EVAL --out DIR`: a pool without copies of evaluation pictures."""
from __future__ import annotations

from ..overrides import read_overrides
from ..remove import Removal, remove_copies
from ..within.groups import GroupOptions
from ..workers.executors import open_executor
from .common import add_engine, add_options, add_roots, options_of, parser, show

_EXAMPLE = """examples:
  python -m dedup pool/list.txt --against val/list.txt --out clean/ --workers 8
      reads "path label" or "path" lines, relative to the folder of each list, and writes clean/kept.txt
  python -m dedup photos/ --against holdout/ --out clean/ --within-pool
      two folders (images and .tar files); also removes what duplicates another picture of the pool
  python -m dedup pool/list.txt --against val/list.txt --out clean/ --engine ray --address auto
      the same on every machine of a Ray cluster
  python -m dedup pool/list.txt --against val/list.txt --out clean/ --overrides overrides.tsv
      applies what a person decided on the page of `ssld review clean/`; nothing is compared again
  python -m dedup sheet clean/removed.tsv --out clean/removed.png
      draws what was removed, the least certain first
  python -m dedup calibrate --against val/list.txt --embed my_network:features --out thresholds/
      measures from which similarity on a network's features mean a copy
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    own = parser("dedup", "Remove every picture of a pool that copies an evaluation picture.", _EXAMPLE)
    own.add_argument("pool", metavar="POOL", help="list file, folder or .tar file of the pictures to clean")
    own.add_argument("--against", metavar="EVAL", required=True, help="the same of the evaluation pictures")
    own.add_argument("--out", metavar="DIR", required=True, help="output folder; an interrupted run goes on from it")
    add_roots(own)
    own.add_argument("--delimiter", default=" ", help="between path and label, default: a space")
    own.add_argument("--within-pool", action="store_true", help="also remove what duplicates another picture of the pool")
    own.add_argument("--sources", metavar="A,B", help="who proposes such pairs: hash, sift, feature; default hash,sift")
    own.add_argument("--known", metavar="LIST", help="pictures in use already: the same bytes are removed from the pool")
    own.add_argument("--overrides", metavar="FILE", help="decisions of a person: lines 'keep<TAB>path', 'remove<TAB>path'")
    own.add_argument("--dry-run", action="store_true", help="compute and report everything, write no kept.txt")
    add_engine(own)
    own.add_argument("--cache", metavar="DIR", help="local disk of each machine, for a copy of the index")
    own.add_argument("--shard-size", type=int, metavar="N", help="pictures per shard, default 10000 or fewer")
    own.add_argument("--max-errors", type=float, default=0.05, metavar="PART",
                     help="part of the pool that may be unreadable, in [0, 1], default 0.05")
    add_options(own)
    given = own.parse_args(arguments)
    options, embed = options_of(given)
    groups = _groups(given) if given.within_pool or given.sources else None
    overrides = read_overrides(given.overrides) if given.overrides else None
    print(f"comparing {given.pool} with {given.against} into {given.out}, engine {given.engine}", flush=True)
    with open_executor(given.engine, given.workers, given.address, temp_dir=given.temp_dir) as executor:
        removal = remove_copies(
            given.pool, given.against, given.out, pool_root=given.pool_root, eval_root=given.eval_root, options=options,
            delimiter=given.delimiter.replace("\\t", "\t"), embed=embed, known=given.known, within_pool=groups,
            overrides=overrides, executor=executor, cache=given.cache, shard_size=given.shard_size,
            max_error_fraction=given.max_errors, dry_run=given.dry_run, progress=show)
    _summarise(removal, given.dry_run)


def _groups(given) -> GroupOptions:
    if given.sources:
        return GroupOptions(sources=tuple(given.sources.split(",")))
    return GroupOptions(sources=("hash", "sift", "feature")) if given.embed else GroupOptions()


def _summarise(removal: Removal, dry_run: bool) -> None:
    reasons = removal.manifest["counts"]["removed_by_reason"]
    why = ", ".join(f"{count} by {reason}" for reason, count in reasons.items() if count)
    print(f"{removal.images} images: {removal.kept} kept, {removal.removed} removed{f' ({why})' if why else ''}, "
          f"{removal.errors} unreadable")
    print(f"dry run, no list written\n{removal.removed_file}" if dry_run else f"{removal.kept_file}\n{removal.removed_file}")
