"""HTML that is safe by construction: whatever is not `Html` already is escaped on its way in."""
from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is markup and stays as it is."""


def markup(template: str, *values, **named) -> Html:
    """`template.format(...)` with every value escaped that is not Html; the template itself is trusted."""
    return Html(template.format(*map(escape, values), **{name: escape(value) for name, value in named.items()}))


def escape(value) -> Html:
    """Any value as HTML, also between the quotes of an attribute; characters that no page may hold become \ufffd."""
    if isinstance(value, Html):
        return value
    text = "".join(c if c.isprintable() or c in "\n\t\N{NO-BREAK SPACE}" else "\ufffd" for c in str(value))
    return Html(html.escape(text))


def join(parts: Iterable, separator: str = "") -> Html:
    """Parts one after the other, those that are plain text escaped; `separator` is trusted."""
    return Html(separator.join(map(escape, parts)))


def table(head: Sequence[str], rows: Iterable[Sequence], caption: str = "", text_columns: int = 1) -> Html:
    """A table that scrolls sideways where it is too wide; the first cell of a row is its heading.

    Args:
        head: column names.
        rows: cells, text or Html.
        caption: above the table.
        text_columns: how many columns from the left hold words; the others are numbers, set to the right.
    """
    def cells(row):
        for column, cell in enumerate(row):
            kind = Html("" if column < text_columns else ' class="n"')
            yield markup('<th scope="row"{}>{}</th>' if column == 0 else "<td{}>{}</td>", kind, cell)

    top = join(markup('<th scope="col"{}>{}</th>', Html("" if i < text_columns else ' class="n"'), name)
               for i, name in enumerate(head))
    body = join((markup("<tr>{}</tr>", join(cells(row))) for row in rows), "\n")
    return markup('<div class="scroll" tabindex="0" role="region" aria-label="{}"><table>{}<thead><tr>{}</tr></thead>'
                  "<tbody>\n{}\n</tbody></table></div>", caption or "table",
                  markup("<caption>{}</caption>", caption) if caption else Html(""), top, body)


def paragraph(template: str, *values) -> Html:
    """A paragraph; as `markup`."""
    return markup("<p>{}</p>", markup(template, *values))


def figure(content: Html, caption="", kind: str = "") -> Html:
    """Content with words below it."""
    words = markup("<figcaption>{}</figcaption>", caption) if caption else Html("")
    return markup('<figure class="{}">{}{}</figure>', kind, content, words)


def folded(summary, content: Html, is_open: bool = False) -> Html:
    """Content behind a line to click on."""
    return markup("<details{}><summary>{}</summary>{}</details>", Html(" open" if is_open else ""), summary, content)


def percent(share: float) -> str:
    """A share in [0, 1] as "61.43 %"."""
    return f"{100 * share:.2f}\N{NO-BREAK SPACE}%"


def points(value: float) -> str:
    """A difference in percentage points with its sign, "+1.20" or "\u22120.40"."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def number(value: float) -> str:
    """A count as "1,308"."""
    return f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """"1 picture", "1,308 pictures"."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """"0.4 s", "38 s", "4 min 12 s", "3 h 05 min"."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def size(number_of_bytes: int) -> str:
    """"412 B", "1.9 MB"."""
    value = float(number_of_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
