"""Questions about one company, level by level: drafts are drawn, those that are unfit are dropped, the rest
are worded. A prefix of a level's questions is balanced, so that a caller can take as many as it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from random import Random
from typing import Any, TypeVar

from fivestones.environments.finqa.grader import grade
from fivestones.environments.finqa.world.distractors import answer, distractors
from fivestones.environments.finqa.world.drafts import NOT_DISCLOSED, PERCENT, POINTS, RATIO, Draft
from fivestones.environments.finqa.world.expressions import rounded, value
from fivestones.environments.finqa.world.families import SINGLE, Family
from fivestones.environments.finqa.world.ladder import LEVELS, Names, formatted, levels, sound, traceable
from fivestones.environments.finqa.world.model import Company, Sheet
from fivestones.environments.finqa.world.multi import PAIRS, SEVERAL, MultiFamily
from fivestones.environments.finqa.world.phrasing import Phrasing, phrasings, worded
from fivestones.environments.finqa.world.plan import plan, queries
from fivestones.recipe import WorldPart

Row = dict[str, Any]
T = TypeVar("T")
F = TypeVar("F", Family, MultiFamily)
LONGEST = 35  # words, in the short profile
NIL_LOOKUPS = 0.15  # of those found are asked: nil must not be a good guess
PAIRED = ("lookup", "net change", "growth", "share", "spread", "ratio", "sum")  # asked of near-duplicates
YEARLY = ("lookup", "net change", "growth")  # asked of a year that is missing
TWINS = 4  # questions of near-duplicates for one of a missing year: "not disclosed" must not be a good guess
TRIES = 100  # draws of a question about several tables


def questions(
    company: Company, part: WorldPart, seed: int, counts: Mapping[str, int], other: Company | None = None
) -> list[Row]:
    """Up to so many rows of each level (`counts`), fewer where the company has no more; levels in order.

    other: a company of the same split, whose figures are near misses.
    """
    maker = _Maker(company, part, Random(f"questions:{seed}:{company.slug}"), other)
    return [row for name in LEVELS if counts.get(name) for row in maker.level(name, counts[name])]


class _Maker:
    def __init__(self, company: Company, part: WorldPart, rng: Random, other: Company | None) -> None:
        self.company, self.part, self.rng, self.other = company, part, rng, other
        self.names = Names(company)
        self.test = company.split == "test"
        asked = part.families
        # families of questions about one table
        self.of_one = self._fit([family for family in SINGLE if asked is None or family.name in asked])
        self._asked: set[tuple[object, ...]] = set()
        self._drafts: dict[tuple[str, str], list[Draft]] = {}

    def level(self, name: str, count: int) -> list[Row]:
        stream = self._stream(name)
        rows: list[Row] = []
        while len(rows) < count and (group := next(stream, None)) is not None:
            rows += [{**row, "level": name} for row in group]
        rows = rows[:count]
        return [{**row, "id": f"{self.company.slug}-{name.lower()}-{n}"} for n, row in enumerate(rows, 1)]

    def _stream(self, name: str) -> Iterator[list[Row]]:
        """Groups of rows: those of a group are asked together."""
        if name == "L4":
            return self._mixed([*(self._twins() for _ in range(TWINS)), self._missing()])
        if name in ("L5", "L6"):
            drawn = PAIRS if name == "L5" else SEVERAL
            return self._mixed([self._several(family, name) for family in self._fit(drawn)])
        return self._mixed([self._single(family, name) for family in self.of_one])

    def _fit(self, families: Sequence[F]) -> list[F]:
        return [family for family in families if self.test or not family.held_out]

    def _mixed(self, streams: list[Iterator[list[Row]]]) -> Iterator[list[Row]]:
        """In turn, beginning anywhere, until all are empty."""
        self.rng.shuffle(streams)
        live = list(streams)
        for stream in cycle(streams):
            if stream not in live:
                if not live:
                    return
                continue
            group = next(stream, None)
            if group is None:
                live.remove(stream)
            else:
                yield group

    def _single(self, family: Family, name: str) -> Iterator[list[Row]]:
        """In turn over the tables."""
        sheets = [
            s for s in self.company.sheets if s.name not in self.names.twins and (s.across or name == "L3")
        ]
        live = [self._of_sheet(family, name, sheet) for sheet in self._shuffled(sheets)]
        while live:
            for stream in list(live):
                group = next(stream, None)
                if group is None:
                    live.remove(stream)
                else:
                    yield group

    def _of_sheet(self, family: Family, name: str, sheet: Sheet) -> Iterator[list[Row]]:
        drafts = self._shuffled(self._of(family, sheet))
        if name == "L2":
            drafts.sort(key=lambda draft: not formatted(draft))
        for draft in drafts:
            if name in levels(draft, self.names.twins) and (group := self._rows([draft])):
                yield group

    def _several(self, family: MultiFamily, name: str) -> Iterator[list[Row]]:
        sheets = [sheet for sheet in self.company.sheets if sheet.decoy_of is None]
        failed = 0
        while failed < TRIES:
            draft = family.draw(self.rng, sheets)
            fits = draft is not None and name in levels(draft, self.names.twins)
            group = self._rows([draft]) if draft is not None and fits else []
            failed = 0 if group else failed + 1
            if group:
                yield group

    def _twins(self) -> Iterator[list[Row]]:
        """The same question of a table and of its near-duplicate."""
        pairs = [(s, twin) for s in self.company.sheets if s.decoy_of for twin in self.names.twins[s.name]]
        return self._rounds(pairs, self._of_both)

    def _of_both(self, pair: tuple[Sheet, Sheet]) -> list[Row]:
        sheet, twin = pair
        for family in self._shuffled([family for family in self.of_one if family.name in PAIRED]):
            alike = {_but_subject(draft): draft for draft in self._of(family, twin)}
            for draft in self._shuffled(self._of(family, sheet)):
                other = alike.get(_but_subject(draft))
                if other is not None and (group := self._rows(self._shuffled([draft, other]))):
                    return group
        return []

    def _missing(self) -> Iterator[list[Row]]:
        """A year that the table reports, then, in the same words, one that it does not."""
        fit = [s for s in self.company.sheets if s.name not in self.names.twins and self._gaps(s)]
        return self._rounds(fit, self._with_and_without)

    def _with_and_without(self, sheet: Sheet) -> list[Row]:
        for family in self._shuffled([family for family in self.of_one if family.name in YEARLY]):
            for kept in self._shuffled(self._of(family, sheet)):
                if _YEAR.search(kept.slots["label"]):  # "Due in 2025": two years would be meant
                    continue
                if group := self._rows([kept, self._without(kept, sheet)]):
                    return group
        return []

    def _rounds(self, items: Sequence[T], make: Callable[[T], list[Row]]) -> Iterator[list[Row]]:
        """Round after round over those that still yield."""
        live = list(items)
        while live:
            for item in self._shuffled(live):
                if group := make(item):
                    yield group
                else:
                    live.remove(item)

    def _gaps(self, sheet: Sheet) -> list[int]:
        return [year for year in self.names.years if year not in sheet.years]

    def _without(self, kept: Draft, sheet: Sheet) -> Draft:
        """The same question, but for a year that the sheet lacks."""
        absent = self.rng.choice(self._gaps(sheet))
        slots = dict(kept.slots)
        if "year2" in slots:
            stays = int(self.rng.choice((slots["year"], slots["year2"])))
            slots["year"], slots["year2"] = str(min(stays, absent)), str(max(stays, absent))
        else:
            slots["year"] = str(absent)
        return replace(kept, fields=(), slots=slots, missing=(sheet, absent), kept=kept)

    def _shuffled(self, items: Sequence[T]) -> list[T]:
        return self.rng.sample(list(items), len(items))

    def _of(self, family: Family, sheet: Sheet) -> list[Draft]:
        key = (family.name, sheet.name)
        if key not in self._drafts:
            self._drafts[key] = list(family.drafts(sheet))
        return self._drafts[key]

    def _rows(self, drafts: Sequence[Draft]) -> list[Row]:
        """All of them in one phrasing, or none."""
        if any(draft.identity in self._asked for draft in drafts):
            return []
        phrasing = self._phrasing(drafts[0].family)
        rows = []
        for draft in drafts:
            row = self._row(draft, phrasing)
            if row is None:
                return []
            rows.append(row)
        self._asked.update(draft.identity for draft in drafts)
        return rows

    def _phrasing(self, family: str) -> Phrasing:
        """In the test split, one held out as often as not."""
        known = phrasings(family, self.test)
        wanted = self.rng.random() < 0.5
        return self.rng.choice([p for p in known if p.held_out == wanted] or known)

    def _row(self, draft: Draft, phrasing: Phrasing) -> Row | None:
        if not sound(draft) or not traceable(draft) or not self.names.clear(draft):
            return None
        gold = self._gold(draft)
        question = worded(phrasing, self.company.name, draft)
        if gold is None or (self.part.short and len(question.split()) > LONGEST):
            return None
        missed = [{"kind": kind, "answer": text} for kind, text in distractors(draft, self.names, self.other)]
        nil = draft.family == "lookup" and draft.fields and not draft.figures[0].value
        if nil:
            missed = [miss for miss in missed if miss["kind"] not in ("scale", "sign")]
        if any(grade(miss["answer"], gold) >= 1.0 for miss in missed):
            return None
        if nil and self.rng.random() >= NIL_LOOKUPS:
            return None
        held_out = (
            phrasing.held_out or draft.family in _HELD_OUT or any(sheet.held_out for sheet in draft.sheets)
        )
        return {
            "id": "",
            "split": self.company.split,
            "company": self.company.slug,
            "level": "",
            "family": draft.family,
            "phrasing": phrasing.id,
            "held_out": int(held_out),
            "question": question,
            "answer": gold,
            "tables": _json([sheet.name for sheet in draft.sheets]),
            "cells": _json([_cell(figure) for figure in draft.figures]),
            "sql": _json(queries(draft)),
            "plan": _json(steps := plan(self.company, draft)),
            "fewest": len(steps),
            "distractors": _json(missed),
        }

    def _gold(self, draft: Draft) -> str | None:
        """None where rounding is in doubt, or where nothing is left after it."""
        if draft.missing is not None:
            return NOT_DISCLOSED
        for _, expr in draft.fields:
            shown = rounded(value(expr), draft.form.places)
            if shown is None or (shown == 0 and draft.family != "lookup"):
                return None
            if draft.form in (PERCENT, POINTS, RATIO) and abs(shown).scaleb(draft.form.places) < 10:
                return None  # a single digit is guessed too often
        return answer(draft)


_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_HELD_OUT = {family.name for family in (*SINGLE, *PAIRS, *SEVERAL) if family.held_out}


def _but_subject(draft: Draft) -> tuple[object, ...]:
    slots = {key: slot for key, slot in draft.slots.items() if key != "subject"}
    return tuple(sorted(slots.items())), draft.unstated


def _cell(figure: Any) -> dict[str, str]:
    row, column = figure.sheet.place(figure.where)
    return {"table": figure.sheet.name, "row": row, "column": column, "text": figure.text}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
