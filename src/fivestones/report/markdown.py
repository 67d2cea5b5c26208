"""`report.md`: the result in a few lines and tables, for a pull request or a chat. The page has the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.report import text
from fivestones.report.files import RunFiles
from fivestones.report.judging import never_told
from fivestones.report.learned import Learned, Row, learned
from fivestones.report.timing import times
from fivestones.score.alarm import fired


def to_markdown(run: RunFiles) -> str:
    summary = run.summary
    head = text.headline(summary)
    trained = str(summary.get("trained", "trained"))
    wanted = text.wanted_order(run.recipe)
    out = [f"# {run.recipe.get('name') or run.path.name}", "", f"**{head.verdict}**: {head.sentence}", ""]
    if not summary:
        out += [_progress(run.metrics), ""]
    else:
        out += _tables(summary, trained, wanted)
    if found := learned(summary, wanted):
        out += _learned(found)
    if alarms := fired(run.metrics):
        out += [f"**Hacking alarm** at steps {', '.join(map(str, alarms))}: see the page.", ""]
    if why := never_told(run.recipe):
        out += [f"Second judge: {why}.", ""]
    if changed := text.overrides(summary):
        told = (f"{k} = {v['used']} (declared: {v['declared']})" for k, v in changed.items())
        out += [f"Changed at the evaluation: {'; '.join(told)}", ""]
    for part in summary.get("slices", []):
        if part["held_out"]:
            out += [f"Held out, {part['tag']} = {part['value']}:", "", *_contestants(part, trained, wanted)]
    for name, part in (summary.get("extra") or {}).items():
        out += [f"Extra dataset {name}:", "", *_contestants(part, trained, wanted)]
    if stages := times(run.timings).stages:
        spent = "; ".join(f"{stage.name} {text.duration(stage.seconds)}" for stage in stages)
        out += [f"Time: {spent}", ""]
    missing = [*run.absent, *(f"unreadable: {p}" for p in run.problems)]
    if missing:
        out += ["Absent:", "", *(f"- {m}" for m in missing), ""]
    return "\n".join(out).rstrip() + "\n"


def _tables(summary: Mapping[str, Any], trained: str, wanted: list[str]) -> list[str]:
    rows = []
    for p in text.paired(summary, "total"):
        difference = text.NONE
        if p["mean"] is not None:
            difference = f"{text.value_of(p, 'signed')} [{text.interval_of(p, 'signed')}]"
        counts = f"{p['wins']} / {p['ties']} / {p['losses']}" if "wins" in p else text.NONE
        rows.append([f"{p['a']} − {p['b']}", difference, counts, p["n"], p["clusters"], p["verdict"]])
    names = ["difference", "points [95%]", "win / tie / loss", "n", "clusters", "verdict"]
    return [*_contestants(summary, trained, wanted), *(_table(names, rows) if rows else [])]


def _contestants(part: Mapping[str, Any], trained: str, wanted: list[str]) -> list[str]:
    order = text.contestants_in_order(part, trained, wanted)
    if not order:
        return []
    sections = list(part["contestants"][order[0]]["sections"])
    rows = []
    for name in order:
        c = part["contestants"][name]
        cells = [f"{text.value_of(c['strict'], 'percent')} [{text.interval_of(c['strict'], 'percent')}]"]
        cells += [f"{text.value_of(c['total'])} [{text.interval_of(c['total'])}]"]
        cells += [text.value_of(c["sections"].get(s)) for s in sections]
        rows.append([name, *cells, c["total"]["n"]])
    return _table(["contestant", "strict % [95%]", "total [95%]", *sections, "n"], rows)


def _learned(found: Learned) -> list[str]:
    """Means, and the intervals of the differences alone; the page has all of them."""
    out = ["What it learned: % of the tasks where it applies (n: at most); counts are means.", ""]
    flags = [(row, "percent", "shift", 1) for row in found.flags]
    out += _rows("behaviour", found, [*flags, *((row, "number", "signed", 2) for row in found.counts)])
    out += [f"- {row.name}: {row.says}" for row in found.flags if row.says]
    out += [""] if found.flags else []
    if found.levels:
        out += ["Points by level, % of what can be had (of several values, the share that is right):", ""]
        out += _rows("level", found, [(row, "percent", "shift", 1) for row in found.levels])
    return out


def _rows(first: str, found: Learned, rows: Sequence[tuple[Row, str, str, int]]) -> list[str]:
    """rows: with the kinds of number (`text.value_of`) of a mean and of a difference, and their digits."""
    names = [first, "n", *found.names, *(f"{found.trained} − {other} [95%], n" for other in found.others)]
    lines = []
    for row, kind, change, digits in rows:
        line = [row.name, row.n, *(text.value_of(row.figures.get(n), kind, digits) for n in found.names)]
        for difference in map(row.differences.get, found.others):
            mean, interval = (of(difference, change, digits) for of in (text.value_of, text.interval_of))
            line.append(f"{mean} [{interval or text.NONE}], {(difference or {}).get('n', 0)}")
        lines.append(line)
    return _table(names, lines)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return ["| " + " | ".join(_cell(v) for v in line) + " |" for line in lines] + [""]


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _progress(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Where a run without a result stands."""
    steps = [m for m in metrics if m.get("phase") == "train"]
    if not steps:
        return "No training step yet."
    last = steps[-1]
    return f"Training: step {last.get('step')}, mean reward {text.number(last.get('reward_mean'))}."
