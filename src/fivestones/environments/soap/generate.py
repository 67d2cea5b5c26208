"""Rows of the synthetic data set: who is planned, and each row as a pure function of (seed, index, retry)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from random import Random
from typing import Any

from fivestones.environments.soap.facts import facts_of, signature, to_dict
from fivestones.environments.soap.knowledge import Condition, Knowledge
from fivestones.environments.soap.note import reference_note
from fivestones.environments.soap.realise import HELD_OUT, realise
from fivestones.environments.soap.realise_styles import STYLES
from fivestones.environments.soap.scenario import Cell, Length, cells, draw
from fivestones.environments.sources import digest_of
from fivestones.errors import UsageError, nearest
from fivestones.types import Split

NAME = "soap-grammar-1"
# the prompt, of which no row holds any, and the teacher, whose rows say what wrote them
_NOT_IN_ROWS = ("spec.py", "teacher.py", "teacher.yaml", "teacher_brief.py", "teacher_dialogue.py")


def version(root: Traversable | None = None) -> str:
    """Name and digest of all that decides a row: the code and the knowledge under `root` (default: this
    package).
    """
    return f"{NAME} {digest_of(root or files('fivestones.environments.soap'), _NOT_IN_ROWS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanItem:
    """What a row will be: fixed before anything is generated, so that splits share no scenario group."""

    index: int
    split: Split
    condition: str
    cell: Cell
    style: str

    @property
    def group(self) -> str:
        return self.cell.group


def plan(
    kb: Knowledge, n_train: int, n_test: int, seed: int, *, styles: Sequence[str] = (),
    held_out_style: str | None = HELD_OUT, held_out_share: float = 0.4,
) -> list[PlanItem]:  # fmt: skip
    """Train rows, then test rows; even quotas over conditions, over the groups of each, and over styles.

    The groups (condition x age band x sex x severity) of each condition are dealt to the splits first, at
    least one to each. Test rows: `held_out_share` of them in the held-out style.
    """
    training = _training_styles(styles, held_out_style)
    rng = Random(f"plan:{seed}")
    share = n_test / (n_train + n_test) if n_train + n_test else 0.0
    mine: dict[Split, dict[str, list[Cell]]] = {"train": {}, "test": {}}
    for condition in kb.conditions:
        all_cells = list(cells(condition))
        rng.shuffle(all_cells)
        cut = min(max(1, round(len(all_cells) * share)), len(all_cells) - 1)
        mine["test"][condition.key], mine["train"][condition.key] = all_cells[:cut], all_cells[cut:]
    test_styles = [held_out_style] * round(n_test * held_out_share) if held_out_style else []
    test_styles += [training[n % len(training)] for n in range(n_test - len(test_styles))]
    rng.shuffle(test_styles)
    out: list[PlanItem] = []
    sizes: tuple[tuple[Split, int], ...] = (("train", n_train), ("test", n_test))
    for split, n in sizes:
        for row, cell in enumerate(_deal(kb.conditions, mine[split], n, rng)):
            style = test_styles[row] if split == "test" else training[row % len(training)]
            out.append(
                PlanItem(index=len(out), split=split, condition=cell.condition, cell=cell, style=style)
            )
    return out


def generate(kb: Knowledge, item: PlanItem, seed: int, length: Length, retry: int = 0) -> dict[str, Any]:
    """The row of a planned item: equal arguments, equal row. `retry` draws another scenario for it."""
    rng = Random(f"{seed}:{item.index}:{retry}")
    scenario = draw(kb, condition_of(kb, item.condition), rng, length, item.cell)
    facts = facts_of(scenario)
    note = reference_note(scenario, facts, rng)
    dialogue = realise(scenario, facts, item.style, length, rng)
    provenance = {
        "generator": NAME, "realiser": item.style, "length": length, "retry": retry, "age": scenario.age,
        "sex": scenario.sex, "pregnant": scenario.pregnant, "severity": scenario.severity,
        "caregiver": scenario.caregiver,
    }  # fmt: skip
    return {
        "id": f"soap-{item.split}-{item.index:06d}",
        "split": item.split,
        "specialty": scenario.specialty,
        "condition": scenario.condition,
        "style": item.style,
        "dialogue": dialogue,
        "note": json.dumps(note, ensure_ascii=False),
        "facts": json.dumps([to_dict(f) for f in facts], ensure_ascii=False),
        "signature": signature(facts, scenario.condition),
        "group": item.group,
        "seed": seed,
        "provenance": json.dumps(provenance),
    }


def _deal(conditions: Sequence[Condition], mine: dict[str, list[Cell]], n: int, rng: Random) -> list[Cell]:
    """`n` groups: round after round of all conditions in a new order, each with its next group."""
    out: list[Cell] = []
    keys = [c.key for c in conditions]
    turn = 0
    while len(out) < n:
        rng.shuffle(keys)
        out += [mine[k][turn % len(mine[k])] for k in keys]
        turn += 1
    return out[:n]


def _training_styles(styles: Sequence[str], held_out: str | None) -> list[str]:
    for style in (*styles, *([held_out] if held_out else [])):
        if style not in STYLES:
            raise UsageError(
                f"synth: unknown style `{style}`; allowed: {', '.join(STYLES)}.{nearest(style, list(STYLES))}"
            )
    training = [s for s in (styles or STYLES) if s != held_out or s in styles]
    if held_out in training:
        raise UsageError(f"synth.styles: `{held_out}` is the held-out style, it cannot be trained on too.")
    return training


def condition_of(kb: Knowledge, key: str) -> Condition:
    # A scan would cost more than the rest of a row's lookups; conditions are grouped, so look in their order.
    for specialty in kb.specialties:
        for condition in specialty.conditions:
            if condition.key == key:
                return condition
    raise UsageError(f"soap: unknown condition `{key}`.{nearest(key, [c.key for c in kb.conditions])}")
