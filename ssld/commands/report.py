"""Write one HTML page about finished runs: the ladder of accuracies, the curves, what curation did, the student.

The page opens from disk and needs no network. LADDER.yaml has one section, Report: title, rungs (name, run, reference,
note), and, as far as there is something to show, intro, expansion, random_expansion, classes, truth, export.

Example:
  ssld report -c ladder.yaml --out report.html
  ssld report -c ladder.yaml --out report.html --figures docs/figures -o "Report.title=Third attempt"
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the page to write, such as report.html")
    parser.add_argument("--figures", metavar="DIR", help="also write the charts as SVG files, such as DIR/ladder.svg")


def run(args):
    from ..config import Config
    from ..report.page import read_material, write_figures, write_report
    from ..report.settings import read_settings

    material = read_material(read_settings(Config.load(args.config, args.override)))
    page = write_report(material, args.out)
    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if args.figures:
        print(f"wrote {', '.join(map(str, write_figures(material, args.figures)))}")
