"""A run directory -> one self-contained HTML page, and a short Markdown of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fivestones.audit.page import audit_section
from fivestones.evaluate.summary import section_metric
from fivestones.report import charts, text
from fivestones.report.examples import duels, samples
from fivestones.report.files import RunFiles, read_run
from fivestones.report.judging import judging, never_told
from fivestones.report.learned import examples, learned
from fivestones.report.markdown import to_markdown
from fivestones.report.timing import times
from fivestones.report.training import Training, training
from fivestones.runlog import write_atomic
from fivestones.score.alarm import fired

Json = dict[str, Any]
TRAINED_COLOUR = 0


def write_report(run_dir: Path, *, price_per_hour: float | None = None) -> tuple[Path, Path]:
    """Writes report.html and report.md into the run directory; the same bytes for the same files.

    price_per_hour: of the machine, in any currency; None leaves the cost out.
    Raises DataError when there is no such directory.
    """
    run = read_run(run_dir)
    html, markdown_path = run_dir / "report.html", run_dir / "report.md"
    write_atomic(html, render(run, price_per_hour))
    write_atomic(markdown_path, to_markdown(run))
    return html, markdown_path


def render(run: RunFiles, price_per_hour: float | None = None) -> str:
    """The whole page. Text of users and models is escaped by the template engine."""
    environment = Environment(
        loader=PackageLoader("fivestones.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        num=text.number,
        pts=text.points,
        pct=text.percent,
        val=text.value_of,
        ci=text.interval_of,
        dur=text.duration,
    )
    return environment.get_template("report.html.j2").render(_context(run, price_per_hour))


def _context(run: RunFiles, price_per_hour: float | None) -> Json:
    summary = run.summary
    head = text.headline(summary)
    trained = str(summary.get("trained", "trained"))
    wanted = text.wanted_order(run.recipe)
    order = text.contestants_in_order(summary, trained, wanted)
    colours = _colours(order, trained)
    curves = training(run.metrics, summary.get("max_score"))
    clock = times(run.timings)
    changed = learned(summary, wanted)
    slices = sorted(summary.get("slices", []), key=lambda s: not _apart(s))  # the telling ones first
    return {
        "run": run,
        "name": str(run.recipe.get("name") or run.path.name),
        "head": head,
        "meaning": text.VERDICTS.get(head.verdict, ""),
        "state": _state(run, curves),
        "trained": trained,
        "max_score": summary.get("max_score"),
        "sections": [str(s) for s in summary.get("sections", [])],
        "metric_of": section_metric,
        "method": summary.get("method", {}),
        "contract": summary.get("contract", {}),
        "declared": text.margin_declared(summary),
        "learned": changed,
        "learned_examples": examples(changed, run.records, run.cases) if changed else [],
        "main": _part(summary, order, trained, colours, head.other),
        "slices": [{**s, **_part(s, order, trained, colours, head.other)} for s in slices],
        "shown_slices": sum(_apart(s) for s in slices),
        "extra": {
            name: _part(part, text.contestants_in_order(part, trained, wanted), trained, colours, None)
            for name, part in (summary.get("extra") or {}).items()
        },
        "colours": colours,
        "training": curves,
        "judging": judging(run.judge),
        "audit": audit_section(run.audit) if run.audit else Markup(""),
        "alarms": fired(run.metrics),
        "no_alarm": never_told(run.recipe),
        "time": clock,
        "price": price_per_hour,
        "samples": samples(run.rollouts),
        "duels": duels(run.records, run.cases, trained, head.other),
    }


def _apart(part: Mapping[str, Any]) -> bool:
    """The held-out slice and, to compare with it, all that is not held out."""
    return bool(part.get("held_out") or part.get("seen"))


def _part(
    part: Mapping[str, Any], order: list[str], trained: str, colours: Mapping[str, int], best: str | None
) -> Json:
    """Tables and charts of one dataset or slice."""
    contestants = part.get("contestants") or {}
    names = [n for n in order if n in contestants]
    groups = list(contestants[names[0]]["sections"]) if names else []
    figures = {(g, n): contestants[n]["sections"].get(g) or {} for g in groups for n in names}
    totals = text.paired(part, "total")
    bars = (
        charts.grouped_bars(groups, names, figures, title="Score by section and contestant", colours=colours)
        if groups
        else Markup("")
    )
    rows = [(f"{trained} − {p['b']}", p) for p in sorted(totals, key=lambda p: names.index(p["b"]))]
    margin = float(totals[0]["margin"]) if totals else 0.0
    against = best if best in contestants else text.best_other({**part, "trained": trained})
    return {
        "names": names,
        "contestants": contestants,
        "bars": bars,
        "differences": charts.difference_chart(rows, title="Paired differences", margin=margin)
        if rows
        else Markup(""),
        "paired": sorted(part.get("paired") or [], key=lambda p: names.index(p["b"])),
        "against": against,
        "n": max((contestants[n]["total"]["n"] for n in names), default=0),
    }


def _colours(order: list[str], trained: str) -> dict[str, int]:
    """The trained model has the colour of its own; the others the rest, in turn."""
    others = [n for n in order if n != trained]
    return {trained: TRAINED_COLOUR, **{n: 1 + i % 7 for i, n in enumerate(others)}}


def _state(run: RunFiles, curves: Training) -> str:
    planned = (run.recipe.get("train") or {}).get("steps")
    of = f" of {planned}" if isinstance(planned, int) else ""
    return f"{curves.steps}{of} training steps" if curves.steps else "no training step yet"
