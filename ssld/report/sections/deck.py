"""The pairs to look at, as cards that a person can decide; the script review.js brings them to life."""
from __future__ import annotations

import json
from collections import Counter

from dedup.overrides import KEEP, REMOVE

from ..cards import BY_HAND, NARROW, Card, Deck
from ..markup import Html, count, figure, folded, join, markup, number, paragraph
from ..pictures import HOW_TO_READ, PictureFolder
from .removal import numbers

_WORDS = {KEEP: "kept", REMOVE: "removed"}
_KEYS = (("j k ← →", "next and previous picture"), ("x space", "change the decision"), ("r", "remove it"), ("e", "keep it"),
         ("u", "undo"), ("c", "only what was changed, or all again"), ("s", "save overrides.tsv"), ("?", "this help"))
_WITHOUT_SCRIPT = Html('<noscript><p class="caution">Deciding needs JavaScript; the pictures can be looked at without.</p>'
                       "</noscript>")
_TOOLS = """<div class="tools sticky">
<label>Show <select id="kind"><option value="">everything</option>{options}</select></label>
<label><input type="checkbox" id="only"> only changed</label>
<output id="count" for="deck">no changes</output>
<button type="button" id="undo" disabled>Undo</button>
<button type="button" id="save" class="main" disabled>Save overrides.tsv</button>
</div>
<div class="tools">
<button type="button" id="copy" disabled>Copy as text</button>
<label class="button">Load overrides.tsv<input type="file" id="load" accept=".tsv,.txt,text/*"></label>
<label><input type="checkbox" id="shortcuts" checked> single-key shortcuts</label>
<button type="button" id="help">Keys (?)</button>
</div>
<p id="forgetful" class="caution" role="alert" hidden>This browser does not keep decisions for this page: save the file \
before you leave.</p>
<p id="said" role="status"></p>
<textarea id="text" readonly hidden rows="6" aria-label="content of overrides.tsv"></textarea>
<dialog id="keys" aria-label="keys"><dl>{keys}</dl><form method="dialog"><button>Close</button></form></dialog>"""


def section(deck: Deck, pictures: PictureFolder, command: str) -> Html:
    """Explanation, tools and cards.

    Args:
        deck: the cards.
        pictures: where their pictures go.
        command: applies the decisions.
    """
    if not deck.cards:
        return paragraph("Nothing was removed, and nothing came near to it.")
    cards = join((_card(card, i, len(deck.cards), pictures) for i, card in enumerate(deck.cards, 1)), "\n")
    listed = markup('<ol id="deck" class="deck" data-run="{}" data-unseen="{}">\n{}\n</ol>',
                    pictures.comparison.fingerprint(), json.dumps(deck.unseen), cards)
    return join([_explanation(deck), _how_to_apply(command), _WITHOUT_SCRIPT, _tools(deck), listed])


def _explanation(deck: Deck) -> Html:
    kinds = Counter(card.kind for card in deck.cards)
    narrow, by_hand = kinds.pop(NARROW, 0), kinds.pop(BY_HAND, 0)
    shown = [f"{sum(kinds.values()):,} of {count(deck.removed, 'removed image')}",
             f"{narrow:,} of {deck.close:,} that were nearly removed"]
    if by_hand:
        shown.append(f"{by_hand:,} of {by_hand + len(deck.unseen):,} that a person decided, which come first")
    return join([paragraph("{} The least certain removals and the closest pairs that were kept come by turns, so that the "
                           "first few tell most. Here are {}.", HOW_TO_READ, ", and ".join(shown)),
                 paragraph("Decide what the run got wrong, save the decisions, and give them to the next run. This browser "
                           "remembers them until then.")])


def _how_to_apply(command: str) -> Html:
    return folded("How to apply the decisions", join([
        paragraph("overrides.tsv holds only what differs from the comparison. This applies it without comparing again; give "
                  "the other options of the run too:"),
        markup('<pre class="wrapped"><code>{}</code></pre>', command)]))


def _tools(deck: Deck) -> Html:
    kinds = Counter(card.kind for card in deck.cards)
    options = [markup('<option value="{}">{} ({})</option>', kind, kind if kind in (NARROW, BY_HAND) else f"removed: {kind}",
                      number(n)) for kind, n in sorted(kinds.items())]
    if len(set(kinds) - {NARROW, BY_HAND}) > 1:
        gone = sum(n for kind, n in kinds.items() if kind not in (NARROW, BY_HAND))
        options.insert(0, markup('<option value="*">all removed ({})</option>', number(gone)))
    keys = join(markup("<dt>{}</dt><dd>{}</dd>", join((markup("<kbd>{}</kbd>", key) for key in keys.split()), " "), words)
                for keys, words in _KEYS)
    return markup(_TOOLS, options=join(options), keys=keys)


def _card(card: Card, place: int, total: int, pictures: PictureFolder) -> Html:
    """A picture with its numbers and two buttons; `data-path` is JSON, since HTML cannot hold every name."""
    if card.match is None:
        caption = markup('<strong>{}</strong><span class="path">{}</span>', card.kind, card.path)
        shown = pictures.single(card.path)
    else:
        shown, caption = pictures.pair(card.match), numbers(card.match)
    tab = 0 if place == 1 else -1
    buttons = join(markup('<button type="button" data-decision="{d}" aria-pressed="{}" tabindex="{}">{d}</button>',
                          "true" if d == card.run else "false", tab, d=d) for d in (KEEP, REMOVE))
    return markup('<li class="card" tabindex="{}" aria-label="{} of {}: {}, {}" data-path="{}" data-kind="{}" data-run="{}" '
                  'data-machine="{}">{}<div class="choice" role="group" aria-label="decision">{}'
                  '<span class="note">{} by the run</span><span class="changed" hidden>changed</span></div></li>',
                  tab, place, total, card.path, card.kind, json.dumps(card.path), card.kind, card.run, card.machine,
                  figure(shown, caption, "pair"), buttons, _WORDS[card.run])
