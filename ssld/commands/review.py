"""Write the page on which a person looks at what was removed, and corrects it.

FOLDER is what `ssld expand` or `python -m dedup` left. The page opens from disk, its pictures lie in a folder beside it. It
saves the decisions as overrides.tsv, which `ssld expand --overrides` and `python -m dedup ... --overrides` apply.

Example:
  ssld review output/expansion
  ssld review clean/ --out review.html --limit 2000 --pool-root /data/pool --eval-root /data/val
"""


def add_arguments(parser):
    parser.add_argument("folder", metavar="FOLDER", help="output folder of a finished run")
    parser.add_argument("--out", metavar="FILE", help="the page to write, default: FOLDER/review.html")
    parser.add_argument("--limit", type=int, default=500, metavar="N", help="pairs shown at most (default: %(default)s)")
    parser.add_argument("--pool-root", metavar="DIR", help="folder of the pool's paths, if the pictures have moved")
    parser.add_argument("--eval-root", metavar="DIR", help="the same of the evaluation images")
    parser.add_argument("--classes", metavar="FILE", help="one class name per line, for the selection")


def run(args):
    from ..report.review import write_review

    page = write_review(args.folder, args.out, args.limit, args.pool_root, args.eval_root, args.classes)
    print(f"wrote {page}")
