"""What a judge's score should not depend on: asking twice, place in the group, order of sentences, length.

Each difference is of a score in [0, 1], so that 0 is what an honest judge shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fivestones.audit.agreement import Array, partial_spearman, spearman
from fivestones.audit.bootstrap import Bootstrap
from fivestones.audit.cases import Case
from fivestones.audit.opinions import ask
from fivestones.evaluate.statistics import EQUAL
from fivestones.protocols import Judge
from fivestones.types import Estimate

Told = Callable[[str, int, int], None]  # (what, done, of)
Found = Mapping[str, Estimate | None]
_SENTENCE_END = re.compile(r"(?<=[.!?;\n])\s+")
_CORRELATION, _SHARE, _DIFFERENCE = (-1.0, 1.0), (0.0, 1.0), (-1.0, 1.0)


def consistency(
    judge: Judge, cases: Sequence[Case], fields: Sequence[str], repeats: int, boot: Bootstrap, told: Told
) -> Found:
    """Asked `repeats` times, with nothing remembered: share of outputs with one score each time, and the
    standard deviation of an output's scores."""
    said = []
    for i in range(repeats):
        what = f"repeat {i + 1} of {repeats}"
        said.append(ask(judge, cases, fields, lambda n, w=what: told(w, n, len(cases))).overall)  # type: ignore[misc]
    scores_RN = np.stack(said)
    unknown = np.isnan(scores_RN).any(axis=0)
    same = np.where(unknown, np.nan, (np.ptp(scores_RN, axis=0) <= EQUAL).astype(np.float64))
    spread = np.where(unknown, np.nan, scores_RN.std(axis=0, ddof=1))
    return {"identical": boot.mean(same, _SHARE), "sd": boot.mean(spread, (0.0, 0.5))}


def order(
    judge: Judge, cases: Sequence[Case], fields: Sequence[str], plain: Array, boot: Bootstrap, told: Told
) -> Found:
    """group: what an output gains by being asked earlier instead of later among those of its task;
    sentences: what it gains when the sentences of each field are turned round. plain [N]: the scores."""
    forwards = ask(judge, cases, fields, lambda n: told("order", n, len(cases))).overall
    backwards = ask(judge, cases, fields, lambda n: told("order", n, len(cases)), backwards=True).overall
    gained = _place(cases) * (forwards - backwards)
    turned = _changed(cases, _turned)
    said = ask(judge, turned, fields, lambda n: told("sentences", n, len(cases))).overall
    differs = np.array([a.output != b.output for a, b in zip(cases, turned, strict=True)])
    return {
        "group": boot.mean(gained, _DIFFERENCE),
        "sentences": boot.mean(np.where(differs, said - plain, np.nan), _DIFFERENCE),
    }


def length(
    judge: Judge,
    cases: Sequence[Case],
    fields: Sequence[str],
    plain: Array,
    quality: Array | None,
    boot: Bootstrap,
    told: Told,
) -> Found:
    """spearman: of score and words; given_human: the part that the human score `quality` [N] does not
    explain; doubled: what is gained by saying all of it twice."""
    words = np.array([float(len(_text(case.output).split())) for case in cases])
    twice = _changed(cases, lambda text: f"{text}\n{text}")
    said = ask(judge, twice, fields, lambda n: told("length", n, len(cases))).overall
    given = None
    if quality is not None:
        given = boot.estimate(partial_spearman, [plain, words, quality], _CORRELATION)
    return {
        "spearman": boot.estimate(spearman, [plain, words], _CORRELATION),
        "given_human": given,
        "doubled": boot.mean(said - plain, _DIFFERENCE),
    }


def _place(cases: Sequence[Case]) -> Array:
    """+1 for the earlier half of a task's outputs, -1 for the later [N]; NaN in the middle, where turning
    the group round changes no place."""
    groups: dict[str, list[int]] = {}
    for i, case in enumerate(cases):
        groups.setdefault(case.task.id, []).append(i)
    out = np.full(len(cases), np.nan)
    for rows in groups.values():
        for place, i in enumerate(rows):
            if 2 * place != len(rows) - 1:
                out[i] = 1.0 if 2 * place < len(rows) - 1 else -1.0
    return out


def _changed(cases: Sequence[Case], change: Callable[[str], str]) -> list[Case]:
    """The texts of every output changed; other values stay."""

    def of(output: Mapping[str, Any]) -> dict[str, Any]:
        return {name: change(v) if isinstance(v, str) else v for name, v in output.items()}

    return [replace(case, output=of(case.output)) for case in cases]


def _turned(text: str) -> str:
    return " ".join(reversed(_SENTENCE_END.split(text.strip())))


def _text(output: Mapping[str, Any]) -> str:
    return " ".join(v if isinstance(v, str) else str(v) for v in output.values())
