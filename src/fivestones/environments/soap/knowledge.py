"""The clinical knowledge base: what a scenario may contain. Data in `kb/**/*.yaml`, read here, checked here.

Vocabulary (`kb/vocabulary/*.yaml`): `key: {kind: ..., forms: [...], ...}`, one mapping per file, keys unique
over all files, every form unique over all concepts (compared lower case). A key with a leading underscore is
a template for YAML merges: `_ds: &ds {kind: symptom, duration: true}`, then `cough: {<<: *ds, forms: [...]}`.

    every kind   kind: symptom|finding|vital|condition|drug|test|plan|history|social|body_site|other
                 forms: [preferred clinical form, further clinical and lay forms ...]
                 say: [...]          spoken verb phrases; they count as forms too; they follow "I" for
                                     symptom, history, social ("get winded", "had my appendix out"),
                                     "I'd like you to" for a plan of type advice, "we'll" / "let's" for
                                     every other plan
                 sex: female|male    age: [min, max]    not_pregnant: true      who it can apply to
    symptom      forms are noun phrases ("no X", "X for three days"). duration/severity/side: true when the
                 attribute applies; site: [body_site keys] to choose from
    finding      an exam or test finding; side, site as above; system: heart|lungs|...; normal: true for a
                 reassuring finding ("lungs clear")
    vital        unit; normal: [lo, hi]; bands: [[age_lo, age_hi, lo, hi], ...] where children differ;
                 blood pressure has four numbers: [sys_lo, sys_hi, dia_lo, dia_hi]; decimals: n
    test         type: lab|imaging|procedure; numeric: unit, normal: [lo, hi], abnormal: [lo, hi], decimals
    drug         doses: ["5 mg", ...], frequency: [of FREQUENCIES], route, class, min_age: years,
                 not_in: [pregnancy, child]     (forms: generic first, brands and lay names after)
    plan         type: advice|referral|followup|procedure|admission|monitoring|device|therapy

Specialty (`kb/specialties/<name>.yaml`): `specialty: cardiology`, optional `defaults: {sex, age, pregnant,
severities, followup}`, and `conditions: [...]`, each

    name: acute pericarditis            unique over everything; its key is the slug "acute_pericarditis"
    forms: [...]                        synonyms
    sex: any|female|male   age: [min, max]   pregnant: true|false   severities: [mild, moderate, severe]
    symptoms: {core: [...], extra: [...]}    denied: [...]    symptom keys; >= 4 symptoms, >= 3 denied
    history: [...]                      history or condition keys        family: [...]   condition keys
    risks: [...]                        social keys                      comorbid: [...] condition keys
    vitals: {hr: [100, 125]}            ranges in this condition; the others are normal
    exam: [...]                         finding keys, >= 2
    tests: [ecg, {troponin: [0.2, 6]}, {chest_xray: lobar_infiltrate}]   >= 2; a bare key has no known result
                                        (order it, or report it normal), else a range or finding key(s)
    drugs: [aspirin, {prednisone: ["40 mg"]}]    >= 2 (>= 0 when `plan` has >= 5), doses narrowed if given
    plan: [...]                         plan keys, >= 3
    followup: ["2 weeks", ...]          "<n> day(s)|week(s)|month(s)|year(s)"

A condition whose slug is a vocabulary key of kind condition is that same concept (forms are united);
condition references may name either. Anything wrong raises DataError naming file, condition, key and the
nearest key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from fivestones.environments.soap import knowledge_checks as check
from fivestones.environments.soap.knowledge_model import (
    FREQUENCIES,
    KINDS,
    NOT_IN,
    PLAN_TYPES,
    SECTION_OF,
    SEVERITIES,
    TEST_TYPES,
    Condition,
    DrugUse,
    Entry,
    Knowledge,
    Sex,
    Specialty,
    TestUse,
)  # fmt: skip
from fivestones.errors import DataError
from fivestones.types import Concept

__all__ = [
    "FREQUENCIES",
    "SEVERITIES",
    "Condition",
    "DrugUse",
    "Entry",
    "Knowledge",
    "Sex",
    "Specialty",
    "TestUse",
    "ambiguous",
    "concepts",
    "load",
    "slug",
]

_COMMON = ("kind", "forms", "say", "sex", "age", "not_pregnant")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "symptom": ("duration", "severity", "side", "site"),
    "finding": ("side", "site", "system", "normal"),
    "vital": ("unit", "normal", "bands", "decimals"),
    "test": ("type", "unit", "normal", "abnormal", "decimals"),
    "drug": ("doses", "frequency", "route", "class", "min_age", "not_in"),
    "plan": ("type",),
}
_CONDITION = (
    "name", "forms", "sex", "age", "pregnant", "severities", "symptoms", "denied", "history", "family",
    "risks", "vitals", "exam", "tests", "drugs", "plan", "followup", "comorbid",
)  # fmt: skip
_FOLLOWUP = re.compile(r"[1-9]\d? (day|week|month|year)s?")


def load(root: Traversable | None = None) -> Knowledge:
    """Read and check the knowledge base under `root` (default: the one in the package)."""
    root = root or files("fivestones.environments.soap") / "kb"
    vocabulary: dict[str, Entry] = {}
    origin: dict[str, str] = {}
    for file, body in _documents(root / "vocabulary"):
        for key, raw in body.items():
            if str(key).startswith("_"):  # a template for YAML merges (`<<: *name`), not a concept
                continue
            if key in vocabulary:
                raise DataError(f"{file}: `{key}` is already defined in {origin[key]}.")
            vocabulary[key] = _entry(file, str(key), raw)
            origin[key] = file
    for entry in vocabulary.values():
        check.refs(origin[entry.key], entry.key, "site", entry.site, vocabulary, ("body_site",))

    drafts: list[tuple[str, str, dict[str, Any]]] = []  # file, specialty, condition with defaults applied
    homes: dict[str, str] = {}  # condition key -> file
    for file, body in _documents(root / "specialties"):
        for raw in check.conditions(file, body):
            draft = {**body.get("defaults", {}), **raw}
            check.known(f"{file}, condition `{draft.get('name')}`", draft, _CONDITION)
            key = slug(str(draft["name"]))
            if key in homes:
                raise DataError(f"{file}: condition `{draft['name']}` is already defined in {homes[key]}.")
            if key in vocabulary and vocabulary[key].kind != "condition":
                raise DataError(f"{file}: condition `{key}` is a {vocabulary[key].kind} in {origin[key]}.")
            homes[key] = file
            drafts.append((file, body["specialty"], draft))
    for _, _, draft in drafts:  # all conditions are known before any reference is checked
        key = slug(str(draft["name"]))
        old = vocabulary.get(key)
        forms = (str(draft["name"]), *draft.get("forms", ()), *(old.forms if old else ()))
        sex, age = check.who(homes[key], key, draft)
        vocabulary[key] = Entry(
            key=key, kind="condition", forms=_unique(forms), say=old.say if old else (), sex=sex,
            age=(old.age if old else (age[0], 120)),  # once had, it stays in the history
        )  # fmt: skip

    by_specialty: dict[str, list[Condition]] = {}
    for file, specialty, draft in drafts:
        by_specialty.setdefault(specialty, []).append(_condition(file, specialty, draft, vocabulary))
    specialties = tuple(Specialty(name=n, conditions=tuple(c)) for n, c in sorted(by_specialty.items()))
    return Knowledge(specialties=specialties, vocabulary=vocabulary)


def concepts(kb: Knowledge) -> list[Concept]:
    """The lexicon for judges: every concept with all its forms, lower case, the preferred one first."""
    return [
        Concept(
            name=e.key,
            kind=e.kind,
            forms=_unique(f.lower() for f in (*e.forms, *e.say)),
            section=SECTION_OF.get(e.kind),
        )
        for e in kb.vocabulary.values()
    ]


def ambiguous(kb: Knowledge) -> dict[str, tuple[str, ...]]:
    """Forms (lower case) that more than one concept claims, with the keys of those concepts."""
    owners: dict[str, list[str]] = {}
    for concept in concepts(kb):
        for form in concept.forms:
            owners.setdefault(form, []).append(concept.name)
    return {form: tuple(keys) for form, keys in owners.items() if len(keys) > 1}


def slug(name: str) -> str:
    """The key of a condition: "Crohn's disease" -> "crohns_disease"."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower().replace("'", "")).strip("_")


# ---- reading


def _documents(folder: Traversable) -> Iterator[tuple[str, dict[str, Any]]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".yaml"):
            continue
        where = f"kb/{folder.name}/{file.name}"
        try:
            text = file.read_text(encoding="utf-8")
            body = yaml.load(text, Loader=loader)
        except yaml.YAMLError as error:
            raise DataError(f"{where}: not readable as YAML: {error}") from error
        if not isinstance(body, dict):
            raise DataError(f"{where}: expected a mapping, got {type(body).__name__}.")
        if folder.name == "vocabulary":
            # YAML keeps the last of two equal keys without a word; top-level keys start in column one.
            keys = re.findall(r"^([a-z0-9_]+):", text, flags=re.MULTILINE)
            if len(keys) != len(set(keys)):
                twice = sorted({k for k in keys if keys.count(k) > 1})
                raise DataError(f"{where}: defined twice in this file: {', '.join(twice)}.")
        yield where, body


def _entry(file: str, key: str, raw: Any) -> Entry:
    where = f"{file}, `{key}`"
    if not isinstance(raw, dict):
        raise DataError(f"{where}: expected a mapping, got {raw!r}.")
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", key):
        raise DataError(f"{where}: a key is lower case words joined by underscores.")
    kind = check.one_of(where, "kind", raw.get("kind"), KINDS)
    check.known(where, raw, (*_COMMON, *_OPTIONS.get(kind, ())))
    forms = check.strings(where, "forms", raw.get("forms", []))
    if not forms:
        raise DataError(f"{where}: forms is empty, at least one form is needed.")
    sex, age = check.who(file, key, raw)
    reassuring = kind == "finding" and bool(raw.get("normal", False))
    if kind == "drug":
        for dose in check.strings(where, "doses", raw.get("doses", [])):
            check.dose(where, dose)
        for f in raw.get("frequency", []):
            check.one_of(where, "frequency", f, FREQUENCIES)
        if not raw.get("doses") or not raw.get("frequency"):
            raise DataError(f"{where}: a drug needs doses and frequency.")
        age = (max(age[0], int(raw.get("min_age", 0))), age[1])
    return Entry(
        key=key, kind=kind, forms=_unique(forms), say=check.strings(where, "say", raw.get("say", [])),
        sex=sex, age=age, not_pregnant=bool(raw.get("not_pregnant", False)),
        duration=bool(raw.get("duration", False)), severity=bool(raw.get("severity", False)),
        side=bool(raw.get("side", False)), site=check.strings(where, "site", raw.get("site", [])),
        system=raw.get("system"), reassuring=reassuring,
        type=check.one_of(where, "type", raw.get("type"), TEST_TYPES if kind == "test" else PLAN_TYPES)
        if kind in ("test", "plan") else None,
        unit=raw.get("unit"),
        normal=() if kind == "finding" else check.range_of(where, "normal", raw.get("normal", [])),
        abnormal=check.range_of(where, "abnormal", raw.get("abnormal", [])),
        bands=tuple(tuple(float(x) for x in band) for band in raw.get("bands", [])),
        decimals=int(raw.get("decimals", 0)), doses=tuple(raw.get("doses", [])),
        frequency=tuple(raw.get("frequency", [])), route=raw.get("route"), drug_class=raw.get("class"),
        not_in=tuple(check.one_of(where, "not_in", x, NOT_IN) for x in raw.get("not_in", [])),
    )  # fmt: skip


def _condition(
    file: str, specialty: str, raw: Mapping[str, Any], vocabulary: Mapping[str, Entry]
) -> Condition:
    name = str(raw["name"])
    where = f"{file}, condition `{name}`"

    def refs(field: str, values: Any, *kinds: str, least: int = 0) -> tuple[str, ...]:
        keys = check.strings(where, field, values)
        check.refs(file, f"condition `{name}`", field, keys, vocabulary, kinds)
        if len(keys) < least:
            raise DataError(f"{where}: {field} has {len(keys)} items, at least {least} are needed.")
        if len(set(keys)) < len(keys):
            raise DataError(f"{where}: {field} names something twice: {sorted(keys)}.")
        return keys

    symptoms = raw.get("symptoms", {})
    check.known(where, symptoms, ("core", "extra"))
    core, extra = (
        refs("core", symptoms.get("core", []), "symptom"),
        refs("extra", symptoms.get("extra", []), "symptom"),
    )
    denied = refs("denied", raw.get("denied", []), "symptom", least=3)
    if len(core) + len(extra) < 4:
        raise DataError(f"{where}: {len(core) + len(extra)} symptoms, at least 4 are needed.")
    both = (set(core) & set(extra)) | (set(denied) & {*core, *extra})
    if both:
        raise DataError(f"{where}: in two symptom lists at once: {sorted(both)}.")
    plan = refs("plan", raw.get("plan", []), "plan", least=3)
    drugs = tuple(_drug_use(where, d, vocabulary) for d in raw.get("drugs", []))
    tests = tuple(_test_use(where, t, vocabulary) for t in raw.get("tests", []))
    refs("drugs", [d.key for d in drugs], "drug", least=2 if len(plan) < 5 else 0)
    refs("tests", [t.key for t in tests], "test", least=2)
    for test in tests:
        refs(f"tests: {test.key}", list(test.findings), "finding")
    vitals = {str(k): check.range_of(where, f"vitals: {k}", v) for k, v in raw.get("vitals", {}).items()}
    refs("vitals", list(vitals), "vital")
    followup = check.strings(where, "followup", raw.get("followup", []))
    if not followup or any(not _FOLLOWUP.fullmatch(f) for f in followup):
        raise DataError(f"{where}: followup is {list(followup)!r}, expected items such as '2 weeks'.")
    sex, age = check.who(file, name, raw)
    pregnant = bool(raw.get("pregnant", False))
    if pregnant and not (sex == "female" and age[0] >= 14 and age[1] <= 50):
        raise DataError(f"{where}: pregnant needs sex female and an age within 14 to 50, got {sex}, {age}.")
    severities = check.strings(where, "severities", raw.get("severities", SEVERITIES))
    return Condition(
        key=slug(name), name=name, specialty=specialty,
        forms=check.strings(where, "forms", raw.get("forms", [])), sex=sex, age=age, pregnant=pregnant,
        severities=tuple(check.one_of(where, "severities", s, SEVERITIES) for s in severities),
        core=core, extra=extra, denied=denied,
        history=refs("history", raw.get("history", []), "history", "condition"),
        family=refs("family", raw.get("family", []), "condition"),
        risks=refs("risks", raw.get("risks", []), "social"),
        comorbid=refs("comorbid", raw.get("comorbid", []), "condition"),
        vitals=vitals, exam=refs("exam", raw.get("exam", []), "finding", least=2),
        tests=tests, drugs=drugs, plan=plan, followup=followup,
    )  # fmt: skip


def _drug_use(where: str, raw: Any, vocabulary: Mapping[str, Entry]) -> DrugUse:
    if isinstance(raw, dict):
        ((key, doses),) = raw.items()
        for dose in check.strings(where, f"drugs: {key}", doses):
            check.dose(f"{where}, drug `{key}`", dose)
        return DrugUse(key=key, doses=tuple(doses))
    return DrugUse(key=str(raw), doses=vocabulary[raw].doses if raw in vocabulary else ())


def _test_use(where: str, raw: Any, vocabulary: Mapping[str, Entry]) -> TestUse:
    if not isinstance(raw, dict):
        return TestUse(key=str(raw))
    ((key, result),) = raw.items()
    if isinstance(result, str):
        return TestUse(key=key, findings=(result,))
    if all(isinstance(x, str) for x in result):
        return TestUse(key=key, findings=tuple(result))
    if key in vocabulary and not vocabulary[key].normal:
        raise DataError(
            f"{where}: test `{key}` has a numeric result, but no unit and normal range of its own."
        )
    lo, hi = check.range_of(where, f"tests: {key}", result)
    return TestUse(key=key, range=(lo, hi))


def _unique(values: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
