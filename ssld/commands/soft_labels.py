"""Ask a teacher once about many crops of every image, and store its answers; training then reads them in its place.

A config of a distillation with a section SoftLabels is enough; Arch.teacher: {source: stored, path: DIR} trains from the
store. The same command again goes on where an interrupted run stopped. `ssld soft-labels import` converts labels of the
original FKD format, `ssld soft-labels inspect` shows what is in a store.

Example:
  ssld soft-labels -c configs/Distillation/tiny/fkd_labels.yaml -o SoftLabels.crops=100
  ssld soft-labels -c configs/Distillation/tiny/fkd_labels.yaml --dry-run
  python -m paddle.distributed.launch --nproc_per_node 2 tools/generate_soft_labels.py -c labels.yaml
"""
import argparse

from ..cli import add_config_arguments

_IMPORT = """Convert labels in the original FKD format, one .tar file for each image, to a store.

Files are matched to the list by class folder and name, at whatever depth their tree begins. Nothing that they ask for is
run, and PyTorch is not needed. The same command again goes on where an interrupted one stopped.

Example:
  ssld soft-labels import FKD_soft_label_500_crops_marginal_smoothing_k_5/ --list train_list.txt --image-root imagenet/ \\
      --class-num 1000 --out soft_labels/ --teacher EfficientNet-L2-475
"""
_INSPECT = """Print what is in a store of soft labels, and draw it on a page that opens from disk.

Example:
  ssld soft-labels inspect soft_labels/
  ssld soft-labels inspect soft_labels/ --out page/ --image-root imagenet/ --classes classes.txt --images 20
  ssld soft-labels inspect soft_labels/ --verify
"""


def add_arguments(parser):
    add_config_arguments(parser, required=False)
    parser.add_argument("--dry-run", action="store_true", help="build, measure and check everything, write nothing")
    actions = parser.add_subparsers(dest="action", metavar="action")
    _add_import(actions)
    _add_inspect(actions)


def _add_import(actions):
    action = actions.add_parser("import", help=_IMPORT.splitlines()[0], description=_IMPORT,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    action.add_argument("source", metavar="SOURCE_DIR", help="top folder of the .tar files")
    action.add_argument("--list", required=True, metavar="FILE", help='image list, one "path label" per line')
    action.add_argument("--image-root", metavar="DIR", help="folder of the list's paths, default: the list's own")
    action.add_argument("--class-num", required=True, type=int, metavar="C", help="classes of a label")
    action.add_argument("--out", required=True, metavar="DIR", help="folder of the store")
    action.add_argument("--delimiter", default=" ", metavar="TEXT", help="between path and label, default: a space")
    action.add_argument("--kind", metavar="KIND",
                        help="where bytes can mean two things: marginal_renorm instead of marginal_smoothing, full instead of "
                             "smoothing (distributions over two classes)")
    action.add_argument("--crops", type=int, metavar="N", help="take the first N crops of each file, default: all")
    action.add_argument("--teacher", metavar="NAME", help="noted as the network that made the labels")
    action.add_argument("--max-missing-fraction", type=float, default=0.001, metavar="F",
                        help="images without labels above this share of the list are an error (default: %(default)s)")
    action.set_defaults(run=_import)


def _add_inspect(actions):
    action = actions.add_parser("inspect", help=_INSPECT.splitlines()[0], description=_INSPECT,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    action.add_argument("store", metavar="STORE", help="folder of the store")
    action.add_argument("--out", metavar="DIR", help="write index.html and figures.json there")
    action.add_argument("--image-root", metavar="DIR", help="folder of the image paths, default: what the store notes")
    action.add_argument("--images", type=int, default=12, metavar="N", help="shown on the page (default: %(default)s)")
    action.add_argument("--sample", type=int, default=1000, metavar="N",
                        help="images the figures are of (default: %(default)s)")
    action.add_argument("--classes", metavar="FILE", help="one class name per line")
    action.add_argument("--verify", action="store_true", help="compare all files with their checksums first")
    action.set_defaults(run=_inspect)


def run(args):
    _generate(args)


def _generate(args):
    from ..build_soft_labels import run_generation
    from ..config import Config
    from ..device import is_main
    from ..errors import InputError

    if not args.config:
        raise InputError("expected -c FILE, or one of: ssld soft-labels import, ssld soft-labels inspect")
    store = run_generation(Config.load(args.config, args.override), args.dry_run)
    if not is_main():
        return
    if store is None:
        print("dry run: nothing was written")
        return
    size = sum(entry["bytes"] for entry in (store.meta["table"], *store.meta["shards"]))
    readable = store.images.readable
    unreadable = f"; {(~readable).sum():,} images could not be read" if not readable.all() else ""
    print(f"wrote {store.folder}: {store.crops} crops of {len(readable):,} images, {size:,} bytes{unreadable}")


def _import(args):
    from ..data.manifest import Manifest
    from ..softlabels.import_original import Importer, import_original
    from ..softlabels.original_tree import OriginalTree

    images = Manifest.read(args.list, args.image_root, args.delimiter)
    images = images.take(images.path.first_occurrences())
    importer = Importer(OriginalTree(args.source, images), args.class_num, args.kind, args.crops)
    codec = importer.codec
    print(f"{len(images):,} images x {importer.form.crops} crops, kind {codec.kind}, K = {codec.k}, into {args.out}")
    store = import_original(importer, args.out, args.teacher, args.max_missing_fraction)
    print(f"wrote {store.folder}: {store.crops} crops of {int(store.images.readable.sum()):,} images")


def _inspect(args):
    from ..report.sections.selection import read_names
    from ..report.soft_labels import write_page
    from ..softlabels import inspect
    from ..softlabels.store import Store

    store, names = Store(args.store), read_names(args.classes)
    if args.verify:
        print(f"{len(store.verify())} shards are as they were written")
    found = inspect.survey(store, args.sample)
    print(inspect.text(store, found))
    if args.out:
        root = args.image_root or store.meta.get("image_root")
        print(f"wrote {write_page(store, found, args.out, root, args.images, names)}")
