"""The frame that all pages share: one file with style and script in it, a heading, numbered sections."""
from __future__ import annotations

from collections.abc import Sequence

from .. import __version__
from .charts import packaged
from .markup import Html, join, markup

_STYLES = ("palette.css", "page.css", "charts.css")


def page(title: str, header: Html, sections: Sequence[tuple[str, Html]], styles: Sequence[str] = (), script: str = "") -> str:
    """A page as HTML.

    Args:
        title: of the page.
        header: below the title.
        sections: (title, content) in their order.
        styles: style sheets of this package besides those of every page.
        script: file of this package that runs when the page is read.
    """
    style = Html("\n".join(map(packaged, (*_STYLES, *styles))))
    links = join(markup('<a href="#s{}">{}</a>', i, name) for i, (name, _) in enumerate(sections, 1))
    body = join((markup('<section id="s{i}"><h2><span class="nr">{i}</span>{}</h2>{}</section>', name, content, i=i)
                 for i, (name, content) in enumerate(sections, 1)), "\n")
    code = markup("<script>{}</script>", Html(packaged(script))) if script else Html("")
    return markup('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
                  '<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>\n'
                  "<body><header><h1>{title}</h1>{header}</header>"
                  '<nav aria-label="sections">{links}</nav>\n<main>{body}</main>'
                  "<footer>Made with ssld {version} from the logs and tables of the runs.</footer>{code}</body></html>\n",
                  title=title, style=style, header=header, links=links, body=body, version=__version__, code=code)


def tiles(facts: Sequence[tuple[str, str]]) -> Html:
    """A few large numbers, each with words below it."""
    return markup('<dl class="facts">{}</dl>', join(markup("<div><dd>{}</dd><dt>{}</dt></div>", *fact) for fact in facts))
