"""Tables of an audit and of labels."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fivestones.audit import words
from fivestones.audit.words import Json

_LEFT = ("", "human score", "judge's", "event", "attack", "result", "criterion", "kappa of each pair")
_STYLES = {"passes": "green", "fails": "bold red", "unknown": "yellow"}


def show_audit(console: Console, found: Json) -> None:
    console.print(words.heading(found), markup=False, soft_wrap=True)
    console.print(_agreement(found))
    if found["auroc"]:
        console.print(_events(found))
    if probes := words.behaviour(found):
        table = _table("What should not move a score", "", "found", "outputs")
        for text, value in probes:
            table.add_row(text, words.estimate(value), str(value["n"]) if value else words.UNKNOWN)
        console.print(table)
    if found["adversarial"]:
        console.print(_attacks(found["adversarial"]))
    console.print(words.cost(found), markup=False, soft_wrap=True)


def show_raters(console: Console, labelled: Json) -> None:
    """What `audit.raters.rater_agreement` found."""
    table = _table(
        "Labels, and how far raters agree (95% interval)",
        "criterion",
        "labelled",
        "by two or more",
        "Krippendorff's alpha",
        "same verdict",
        "kappa of each pair",
    )
    for name, row in labelled.items():
        table.add_row(
            name,
            str(row["items"]),
            str(row["doubly"]),
            words.estimate(row["alpha"]),
            words.estimate(row["agreement"]),
            "; ".join(f"{pair}: {words.estimate(kappa)}" for pair, kappa in row["kappa"].items()),
        )
    console.print(table)


def _agreement(found: Json) -> Table:
    table = _table(
        "Agreement with people (correlation, 95% interval)",
        "human score",
        "judge's",
        "Pearson",
        "Spearman",
        "Pearson of ROUGE-1 F",
        "judge minus ROUGE-1 F",
    )
    baseline = words.baseline(found)
    pearson = baseline.get("pearson", {})
    ahead = baseline.get("judge_minus_this", {}).get("pearson", {})
    for key, value in found["pearson"].items():
        estimates = (value, found["spearman"][key], pearson.get(key), ahead.get(key))
        table.add_row(key, found["about"][key], *(words.estimate(e, signed=True) for e in estimates))
    return table


def _events(found: Json) -> Table:
    table = _table(
        "Does a low score tell what is wrong?",
        "event",
        "AUROC",
        "AUROC of ROUGE-1 F",
        "threshold",
        "kappa",
        "sensitivity",
        "specificity",
    )
    baseline = words.baseline(found).get("auroc", {})
    for name, auroc in found["auroc"].items():
        cuts = ", ".join(f"{cut:.2f}" for cut in found["threshold"][name]) or words.UNKNOWN
        first = (words.estimate(auroc), words.estimate(baseline.get(name)))
        rest = (words.estimate(found[what][name]) for what in ("kappa", "sensitivity", "specificity"))
        table.add_row(name, *first, cuts, *rest)
    return table


def _attacks(found: Json) -> Table:
    title = words.attacks_heading(found)
    columns = ("attack", "result", "mean of its fields", "bound", "worst", "cases", "scored", "unscored")
    table = _table(title, *columns)
    for name, row in found["attacks"].items():
        worst = words.UNKNOWN if row["worst"] is None else f"{row['worst']:.2f}"
        result = f"[{_STYLES[row['status']]}]{row['status']}[/]"
        counts = (row["cases"], row["n"], row["unscored"])
        table.add_row(name, result, words.mean_of(row), words.bound(name, row), worst, *map(str, counts))
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _LEFT else "right")
    return table
