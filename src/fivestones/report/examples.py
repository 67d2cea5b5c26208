"""Outputs to show: samples of training, and wins, ties and losses of the trained model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.summary import TEST, TIE
from fivestones.report.learned import turns_of

MAX_SHOWN = 12_000  # characters of one text in the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    label: str
    fields: list[tuple[str, str, float | None]]  # of a JSON object: name, text, criterion; else empty
    text: str
    turns: list[tuple[str, str]]  # role, text: the whole way to `text`, which is the last; empty for one turn
    total: float | None
    notes: list[str]  # failed gates, causes of unscored


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    step: int
    source: str
    outputs: list[Output]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    kind: str  # win, tie, loss
    task_id: str
    tags: str
    difference: float
    source: str
    outputs: list[Output]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duels:
    other: str
    counts: dict[str, int]
    shown: list[Duel]


def samples(rollouts: Sequence[tuple[int, Sequence[Mapping[str, Any]]]]) -> list[Sample]:
    """Of each step the median rollout by reward and the worst: chosen by rule, not by taste."""
    out = []
    for step, lines in rollouts:
        scored = sorted((r for r in lines if r.get("reward") is not None), key=lambda r: float(r["reward"]))
        for what, line in zip(("typical", "worst"), _typical_and_worst(scored), strict=False):
            output = _output(
                what,
                str(line.get("text", "")),
                line.get("criteria") or {},
                line.get("reward"),
                _notes(line.get("failed"), line.get("unscored")),
                _turns(line),
            )
            out.append(Sample(step=step, source=_source(line), outputs=[output]))
    return out


def duels(
    records: Sequence[EvalRecord],
    cases: Mapping[str, Mapping[str, str]],
    trained: str,
    other: str | None,
    each: int = 2,
) -> Duels | None:
    """Trained against another contestant on the tasks of the last evaluation's test set: those in `cases`. Of
    each kind: the median one, then the widest."""
    texts = cases.get(TEST, {})
    last = {(r.contestant, r.task_id): r for r in records if r.dataset == TEST and r.task_id in texts}
    test = [r for r in last.values() if r.total is not None]
    mine = {r.task_id: r for r in test if r.contestant == trained}
    theirs = {r.task_id: r for r in test if r.contestant == other}
    shared = sorted(set(mine) & set(theirs))
    if other is None or not shared:
        return None
    by_kind: dict[str, list[tuple[float, str]]] = {"win": [], "tie": [], "loss": []}
    for task in shared:
        gap = (mine[task].total or 0.0) - (theirs[task].total or 0.0)
        by_kind["win" if gap > TIE else "loss" if gap < -TIE else "tie"].append((gap, task))
    shown = []
    for kind, found in by_kind.items():
        found.sort(key=lambda pair: (abs(pair[0]), pair[1]))
        chosen = list(dict.fromkeys([found[len(found) // 2], found[-1]]))[:each] if found else []
        for gap, task in chosen:
            pair = [_of_record(mine[task]), _of_record(theirs[task])]
            tags = ", ".join(f"{k}: {v}" for k, v in mine[task].tags.items())
            source = _cut(texts[task])
            shown.append(
                Duel(kind=kind, task_id=task, tags=tags, difference=gap, source=source, outputs=pair)
            )
    return Duels(other=other, counts={k: len(v) for k, v in by_kind.items()}, shown=shown)


def _typical_and_worst(scored: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not scored:
        return []
    return [scored[len(scored) // 2]] + ([scored[0]] if len(scored) > 2 else [])


def _of_record(record: EvalRecord) -> Output:
    notes = _notes(record.failed, record.unscored)
    turns = turns_of(record) if record.transcript else []
    return _output(record.contestant, record.text, record.criteria, record.total, notes, turns)


def _output(
    label: str,
    text: str,
    criteria: Mapping[str, float],
    total: float | None,
    notes: list[str],
    turns: list[tuple[str, str]],
) -> Output:
    fields = _fields(text, criteria)
    cut = [(role, _cut(content)) for role, content in turns]
    return Output(label=label, fields=fields, text=_cut(text), turns=cut, total=total, notes=notes)


def _fields(text: str, criteria: Mapping[str, float]) -> list[tuple[str, str, float | None]]:
    """The fields of a JSON object beside the criteria of the same name."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    shown = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in value.items()}
    return [(k, _cut(v), criteria.get(k)) for k, v in shown.items()]


def _notes(failed: Any, unscored: Any) -> list[str]:
    out = []
    for what, why in (("failed", failed), ("unscored", unscored)):
        if isinstance(why, Mapping):
            out += [f"{what}: {name} ({cause})" for name, cause in why.items()]
    return out


def _source(line: Mapping[str, Any]) -> str:
    """The last user message of the prompt."""
    prompt = line.get("prompt", line.get("messages", ""))
    if isinstance(prompt, str):
        return _cut(prompt)
    users = [m for m in prompt if isinstance(m, Mapping) and m.get("role") == "user"]
    return _cut(str(users[-1].get("content", ""))) if users else ""


def _turns(line: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of an episode of several turns all that came after the last user message."""
    prompt = line.get("prompt")
    said = [m for m in prompt if isinstance(m, Mapping)] if isinstance(prompt, list) else []
    users = [i for i, m in enumerate(said) if m.get("role") == "user"]
    after = said[users[-1] + 1 :] if users else []
    turns = [(str(m.get("role", "")), str(m.get("content", ""))) for m in after]
    return [*turns, ("assistant", str(line.get("text", "")))] if turns else []


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " [cut here for the report]"
