"""The audit of a judge: how far it agrees with people, and what else moves its score.

Everything that is measured has a 95% interval from a bootstrap over dialogues; what could not be measured is
None (null), never 0. The dialogues are in two halves (`cases.in_half`): constants of a judge are tuned on one
and reported on the other. The threshold that turns a score into a verdict is, for a row of either half,
chosen on the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fivestones.audit import probes
from fivestones.audit.agreement import Array, Flags
from fivestones.audit.bootstrap import Bootstrap, as_json
from fivestones.audit.cases import Case, Half, fields_of, in_half
from fivestones.audit.human import Compared, HumanAgreement, baseline, quality
from fivestones.audit.opinions import PRECISION, Opinions, ask, traced
from fivestones.chat import Usage
from fivestones.errors import DataError, UsageError
from fivestones.protocols import Judge, Progress
from fivestones.score.facts import FactsJudge

Json = dict[str, Any]
ROUGE = "rouge1_f"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    half: Half = "all"
    threshold: float | None = None  # a score below it flags; None: chosen on the other half
    repeats: int = 3  # for self-consistency
    probes: int = 40  # outputs, of whole dialogues, that are asked again for consistency and bias; 0: none
    draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("repeats", 2), ("probes", 0), ("draws", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"audit: {name} is {getattr(self, name)}; allowed: at least {least}")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise UsageError(f"audit: threshold is {self.threshold:g}; allowed: 0 to 1")


def audit(
    judge: Judge,
    cases: Sequence[Case],
    settings: AuditSettings,
    *,
    name: str,
    fresh: Judge | None = None,
    usage: Callable[[], Usage] | None = None,
    progress: Progress | None = None,
) -> Json:
    """What `fivestones judge audit --json` prints.

    fresh: the same judge with no memory of what it answered, for the repeats (None: `judge` has none).
    usage: of `judge` so far; None: it asks no server. Raises DataError when the half holds no case.
    """
    fields = fields_of(cases)
    shown = [c for c in cases if in_half(c.task.cluster, settings.half)]
    if not shown:
        raise DataError(f"audit: no dialogue of the {len(cases)} rows is in the half `{settings.half}`")
    # without a threshold both halves are judged: it is chosen on the one that is not shown
    asked = shown if settings.threshold is not None else list(cases)
    tell = progress or _silent
    before = usage() if usage else Usage()
    said = _opinions(judge, asked, fields, lambda n: tell(n, len(asked), f"judge: {name}"))
    spent = usage() - before if usage else None
    kept = np.array([in_half(c.task.cluster, settings.half) for c in asked])
    boot = Bootstrap([c.task.cluster for c in shown], settings.draws, settings.seed)
    scores = Compared(said)
    agreed = HumanAgreement(asked, kept, boot, settings.threshold)
    return {
        "judge": name,
        "half": settings.half,
        "n": len(shown),
        "dialogues": len({c.task.cluster for c in shown}),
        "unscored": {"n": int(np.isnan(said.overall[kept]).sum()), "causes": _causes(said, kept)},
        **agreed.of(scores),
        "about": {key: scores.about(key) for key in agreed.keys},
        "baselines": {ROUGE: baseline(agreed, asked, fields, scores)},
        **_probed(fresh or judge, judge, shown, fields, settings, tell),
        # an answer out of the cache tells nothing of the judge's own time
        "latency_ms": None if spent and spent.cache_hits else _latency(1000 * said.seconds[kept], boot),
        "cost": _cost(spent, len(asked)) if spent else None,
        "method": {
            "interval": "95%, bootstrap over dialogues",
            "draws": settings.draws,
            "seed": settings.seed,
            "threshold": "given" if settings.threshold is not None else "for each half chosen on the other",
            "repeats": settings.repeats,
        },
    }


def _causes(said: Opinions, kept: Flags) -> dict[str, int]:
    """Why -> how many of the outputs shown."""
    return dict(Counter(why for whys, shown in zip(said.causes, kept, strict=True) if shown for why in whys))


def _opinions(
    judge: Judge, cases: Sequence[Case], fields: Sequence[str], told: Callable[[int], None]
) -> Opinions:
    said = ask(judge, cases, fields, told)
    if not isinstance(judge, FactsJudge):
        return said
    return replace(said, values={**said.values, PRECISION: traced(judge, cases)})


def _probed(
    fresh: Judge,
    judge: Judge,
    shown: Sequence[Case],
    fields: Sequence[str],
    settings: AuditSettings,
    tell: Progress,
) -> Json:
    """Consistency and bias, on a sample of whole dialogues."""
    if not settings.probes:
        return {"consistency": None, "order": None, "length": None}
    names = sorted({c.task.cluster for c in shown})
    np.random.default_rng(settings.seed).shuffle(names)
    few: list[Case] = []
    for name in names:
        if len(few) < settings.probes:
            few += [c for c in shown if c.task.cluster == name]
    boot = Bootstrap([c.task.cluster for c in few], settings.draws, settings.seed)

    def told(what: str, done: int, of: int) -> None:
        tell(done, of, f"probes: {what}")

    plain = ask(judge, few, fields, lambda n: told("plain", n, len(few))).overall
    found = {
        "consistency": probes.consistency(fresh, few, fields, settings.repeats, boot, told),
        "order": probes.order(judge, few, fields, plain, boot, told),
        "length": probes.length(judge, few, fields, plain, quality(few), boot, told),
    }
    return {name: {key: as_json(value) for key, value in part.items()} for name, part in found.items()}


def _latency(milliseconds: Array, boot: Bootstrap) -> Json:
    """Of the outputs shown [N]."""
    return {
        "mean": as_json(boot.mean(milliseconds, (0.0, math.inf))),
        "median": float(np.median(milliseconds)),
        "p90": float(np.quantile(milliseconds, 0.9)),
    }


def _cost(spent: Usage, outputs: int) -> Json:
    """What judging so many outputs once has used; the probes come on top."""
    return {"outputs": outputs, **{k: v for k, v in asdict(spent).items() if isinstance(v, int | float)}}


def _silent(done: int, total: int, text: str) -> None:
    pass
