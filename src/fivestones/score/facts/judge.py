"""The embedded judge: facts matched, statements traced; no model.

Per section, with credits c in [0, 1] and weights w (critical facts twice):

    recall R     = sum w c / sum w over the section's facts; half credit for a fact found in another section
    precision P  = sum w c / sum w over what the section states (concepts, numbers, sides, open words)
    score        = 2 P R / (P + R) * invented * length * echo * salad;  0 on a critical contradiction

Each factor is 1 for an honest note and falls smoothly; `Settings` holds every constant.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fivestones.score.facts.case import NOTHING, Case, build_case, says_nothing
from fivestones.score.facts.compare import Comparison, best, contradiction, is_critical
from fivestones.score.facts.extract import Extraction, Mention, inside_phrases, read
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.facts.penalties import echo_factor, length_factor, salad_factor
from fivestones.score.facts.settings import Settings
from fivestones.score.facts.trace import Statement, trace
from fivestones.types import Task, Verdict

_CACHED_CASES = 1024  # tasks whose facts and dialogue stay read


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an explanation: a fact of the case, or a statement of the note."""

    field: str
    kind: str  # fact | statement | factor | section
    name: str  # concept, number, word or factor
    credit: float
    status: str  # matched, partial, missing, misplaced, contradicts:<attribute>, traced, invented ...
    weight: float = 1.0
    fact_id: str | None = None
    text: str = ""


@dataclass(slots=True)
class _Section:
    findings: list[Finding] = field(default_factory=list)
    score: float = 0.0


class FactsJudge:
    """Implements protocols.Judge. Criteria are the field names, 1.0 = perfect.

    Reads of `task.reference`: "facts" (list of Fact or of dicts), else "output" (object of field -> text),
    else "source" (the dialogue). What is there beside the truth serves as licence for the note's statements.
    May be called from several threads.
    """

    def __init__(self, lexicon: Lexicon, fields: Sequence[str], settings: Settings | None = None) -> None:
        self.lexicon = lexicon
        self.fields = tuple(fields)
        self.settings = settings or Settings()
        self._cases: OrderedDict[str, Case] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        case = self._case(task)
        if case is None:
            cause = "no facts, reference output or source to judge by"
            return [Verdict(criteria={}, unscored=dict.fromkeys(self.fields, cause)) for _ in outputs]
        verdicts = []
        for output in outputs:
            sections = self._judge(case, output)
            verdicts.append(Verdict(criteria={f: sections[f].score for f in self.fields}))
        return verdicts

    def explain(self, task: Task, output: Mapping[str, Any]) -> list[Finding]:
        """Every fact and statement behind the verdict of one output, field by field."""
        case = self._case(task)
        return [] if case is None else [f for s in self._judge(case, output).values() for f in s.findings]

    def _case(self, task: Task) -> Case | None:
        payload = json.dumps(task.reference, sort_keys=True, default=repr)
        key = hashlib.blake2b(f"{task.id}\0{payload}".encode(), digest_size=16).hexdigest()
        with self._lock:
            if key in self._cases:
                self._cases.move_to_end(key)
                return self._cases[key]
            case = build_case(task.reference, self.lexicon, self.fields)
            if case is not None:
                self._cases[key] = case
                if len(self._cases) > _CACHED_CASES:
                    self._cases.popitem(last=False)
            return case

    def _judge(self, case: Case, output: Mapping[str, Any]) -> dict[str, _Section]:
        texts = {f: as_text(output.get(f)) for f in self.fields}
        read_by = {f: read(texts[f], case.lexicon) for f in self.fields}
        by_concept: dict[str, dict[str, list[Mention]]] = {f: {} for f in self.fields}
        for name in self.fields:
            for mention in read_by[name].mentions:
                for concept in mention.concepts:
                    by_concept[name].setdefault(concept, []).append(mention)
        found = {f: self._found(case, by_concept[f]) for f in self.fields}
        return {f: self._section(case, f, texts[f], read_by[f], by_concept, found) for f in self.fields}

    @staticmethod
    def _found(case: Case, mentions: Mapping[str, list[Mention]]) -> dict[int, Comparison]:
        """Fact index -> its best comparison in one section's text; facts without a mention are left out."""
        out = {}
        for i, truth in enumerate(case.truths):
            here = mentions.get(truth.fact.concept)
            if here:
                out[i] = best(truth, here)
        return out

    def _section(
        self,
        case: Case,
        name: str,
        text: str,
        extraction: Extraction,
        mentions: Mapping[str, Mapping[str, list[Mention]]],
        found: Mapping[str, Mapping[int, Comparison]],
    ) -> _Section:
        out = _Section()
        if not text.strip():
            out.findings.append(Finding(name, "section", "empty", 0.0, "empty"))
            return out
        recall, critical = self._recall(case, name, extraction, mentions, found, out.findings)
        statements = trace(case, name, extraction, found, self.settings)
        weight = sum(s.weight for s in statements)
        precision = sum(s.weight * s.credit for s in statements) / weight if weight else 1.0
        out.findings += [_finding(name, s) for s in statements]
        if recall is None:  # the case says nothing for this section: only what is invented can be wrong
            recall = 1.0
            score = precision
        else:
            score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        invented = sum(s.invented for s in statements)
        factors = {
            "invented": 1.0 / (1.0 + self.settings.invention_cost * invented),
            "length": length_factor(extraction, case.expected_length[name], self.settings),
            "echo": echo_factor(text, extraction, case, self.settings),
            "salad": salad_factor(extraction, case.lexicon, self.settings),
            "critical": 0.0 if critical else 1.0,
        }
        for factor, value in factors.items():
            score *= value
            if value < 1.0:
                out.findings.append(Finding(name, "factor", factor, value, critical or "penalty"))
        out.findings.append(Finding(name, "section", "recall", recall, "measured"))
        out.findings.append(Finding(name, "section", "precision", precision, "measured"))
        out.score = min(1.0, max(0.0, score))
        return out

    def _recall(
        self,
        case: Case,
        name: str,
        extraction: Extraction,
        mentions: Mapping[str, Mapping[str, list[Mention]]],
        found: Mapping[str, Mapping[int, Comparison]],
        findings: list[Finding],
    ) -> tuple[float | None, str | None]:
        """(recall, the critical contradiction if any); recall is None when the section has no facts."""
        got = total = 0.0
        critical: str | None = None
        for i, truth in enumerate(case.truths):
            comparison = found[name].get(i)
            own = name in truth.sections
            others = (case.truths[k] for k in case.by_concept.get(truth.fact.concept, ()) if k != i)
            against = contradiction(truth, mentions[name].get(truth.fact.concept, ()), list(others))
            if against and is_critical(truth, against):
                critical = f"{truth.fact.id}: {against}"
            if not own or truth.sections[0] != name:
                continue
            credit, status = _credit(i, truth.sections, comparison, against, found)
            got += truth.weight * credit
            total += truth.weight
            text = comparison.mention.text if comparison and comparison.mention else ""
            findings.append(
                Finding(name, "fact", truth.fact.concept, credit, status, truth.weight, truth.fact.id, text)
            )
        stated = dict((*inside_phrases(extraction), *extraction.terms)) if case.terms else {}
        if case.terms and says_nothing(extraction):
            stated[NOTHING] = False
        for (term, negated), weight in case.terms.get(name, {}).items():
            credit = 0.0 if term not in stated else 1.0 if stated[term] == negated else 0.3
            got += weight * credit
            total += weight
            findings.append(
                Finding(name, "fact", term, credit, "matched" if credit == 1.0 else "missing", weight)
            )
        for quantity, weight in case.numbers.get(name, ()):
            hit = any(case.same(quantity, q) for q in extraction.quantities)
            got += weight * hit
            total += weight
            findings.append(
                Finding(
                    name,
                    "fact",
                    quantity.label,
                    float(hit),
                    "matched" if hit else "missing",
                    weight,
                )
            )
        return (got / total if total else None), critical


def _credit(
    i: int,
    sections: tuple[str, ...],
    comparison: Comparison | None,
    against: str | None,
    found: Mapping[str, Mapping[int, Comparison]],
) -> tuple[float, str]:
    if against:
        return 0.0, f"contradicts:{against}"
    here = comparison.credit if comparison else 0.0
    also = [found[s][i].credit for s in sections[1:] if i in found.get(s, {})]
    here = max([here, *also])
    if here == 1.0:
        return 1.0, "matched"
    elsewhere = max((c[i].credit for s, c in found.items() if s not in sections and i in c), default=0.0) / 2
    if here >= elsewhere:
        missing = ",".join(comparison.missing) if comparison else ""
        return here, f"partial:{missing}" if here else "missing"
    return elsewhere, "misplaced"


def _finding(name: str, s: Statement) -> Finding:
    return Finding(name, "statement", s.name, s.credit, s.status, s.weight, text=s.text)


def as_text(value: Any) -> str:
    """A field's text; lists become lines, other values their JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(as_text(v) for v in value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
