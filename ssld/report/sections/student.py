"""The exported student: what it weighs, how well it answers, and how to fine-tune it."""
from __future__ import annotations

from ..markup import Html, folded, join, markup, number, paragraph, percent, size, table
from ..student import TRANSFER, Student


def section(student: Student) -> Html:
    """Facts, files and multipliers."""
    return join([_facts(student), _files(student), _multipliers(student)])


def _facts(student: Student) -> Html:
    card = student.card
    rows = [("backbone", f"{card.backbone}, {number(card.class_num)} classes"),
            ("input", " × ".join(map(str, card.input or ["any"]))), ("parameters", number(card.parameters)),
            ("weights from", card.source.get("weights", "unknown"))]
    for model, measured in card.accuracy.items():
        values = (f"{name.replace('top', 'top-')} {percent(value)}" for name, value in measured["accuracy"].items())
        rows.append((f"accuracy of the exported model, {model}", f"{', '.join(values)} of {number(measured['images'])} images"))
    for model, difference in card.difference.items():
        rows.append((f"difference to the network itself, {model}", f"{difference:.1e} of the largest logit; the same class for "
                     f"{percent(card.same_top1[model])} of {number(card.images_compared)} images"))
    return table(("what", "value"), rows, "The student", text_columns=2)


def _files(student: Student) -> Html:
    rows = [(name, size((student.folder / name).stat().st_size), markup("<code>{}</code>", digest))
            for name, digest in student.card.sha256.items()]
    return table(("file", "size", "sha256"), rows, f"Files in {student.folder}", text_columns=3)


def _multipliers(student: Student) -> Html:
    values = ", ".join(f"{value:g}" for value in student.multipliers)
    said = "There are no learning-rate multipliers for this backbone."
    if values:
        said = markup("Learning-rate multipliers per stage, from the first to the last: <strong>{}</strong>; the "
                      "classifier trains at 1.", values)
    return join([paragraph("{} The accuracy belongs to the weights named above; a run’s best checkpoint need not be "
                           "its last.", said),
                 folded(f"{TRANSFER}: a config to start a transfer from", markup("<pre>{}</pre>", student.transfer))])
