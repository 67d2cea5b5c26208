"""The styles: each lays out the same items as a different kind of conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fivestones.environments.soap import realise_clinician as clinician
from fivestones.environments.soap import realise_patient as patient
from fivestones.environments.soap.realise_script import Script, chunks
from fivestones.environments.soap.realise_talk import exchange, introduce
from fivestones.environments.soap.realise_voice import Voice
from fivestones.environments.soap.scenario import Item, Role
from fivestones.environments.soap.speech import capital, listing, say_duration

_BACKGROUND: tuple[Role, ...] = ("history", "family", "social", "home_drug")
_PLAN: tuple[Role, ...] = ("drug", "order", "plan", "followup")

NOD = (
    "Okay.",
    "I see.",
    "All right.",
    "Mm-hm.",
    "Got it.",
    "Right.",
    "Noted.",
    "Sure.",
    "Understood.",
    "Fine.",
)
REACT = (
    "Okay.", "Is that all right?", "Fair enough.", "If you say so.", "Good to know.", "Hm, I see.",
    "Makes sense.",
    "Really?", "I had no idea.", "Right.", "I can live with that.", "That's fine by me.",
    "Okay, I'll do that.",
)  # fmt: skip
NO = ("No.", "No, nothing like that.", "None of those.", "Nope.", "No, not at all.", "Not that I've noticed.")
YES = (
    "Yes.", "That's right.", "Correct.", "Yes, exactly.", "Yep.", "Mm-hm, yes.", "Right.", "Yes, still.",
    "Sadly, yes.",
    "You've got it.", "Yes, that's still true.", "Yeah.",
)  # fmt: skip
ASK_OPEN = (
    "Anything else?", "Any other symptoms?", "What about the rest?", "Other than that?",
    "Anything along with it?",
    "And otherwise?", "Nothing else?", "What {hv} {you} not had?",
)  # fmt: skip
TURN_EXAM = (
    "Let's have a look.", "Time for the exam.", "I'll check a few things.", "Now the numbers.",
    "Let me examine {obj}.",
    "Okay, vitals first.", "Let's see what we find.", "I'll have a look now.",
)  # fmt: skip
READINGS = (
    "I've got the readings from this morning's visit here.", "The paramedic sent me the figures.",
    "The home nurse put her findings in the system.", "I'm looking at what the walk-in clinic measured.",
    "The clinic just faxed over what they found.", "The numbers from the drop-in are on my screen.",
)  # fmt: skip
RECAP = (
    "Then today's findings.",
    "From today's check:",
    "As for what I found just now.",
    "Measured a minute ago.",
)
CHAT_LEAD = (
    "oh, you know,", "so,", "funny thing,", "well, you'll laugh, but", "as I told my cousin,",
    "let me tell you,", "honestly,", "it's a long story, but", "and another thing,", "where do I begin,",
)  # fmt: skip
PHONE_LEAD = (
    "yeah, so,",
    "uh,",
    "okay, so,",
    "hello? yes,",
    "um, right,",
    "sorry, it's noisy here,",
    "er, well,",
)
RAMBLE_LEAD = (
    "anyway,", "what was I saying, yes,", "and I said to myself,", "so there we were, and", "no, listen,",
    "the long and short of it,", "which reminds me,", "not that anyone asked, but",
    "and don't get me started,",
    "I was telling the lady outside,", "this is the bit I wanted to say,", "God knows why, but",
)  # fmt: skip
RAMBLE_SYMPTOM = (
    "{this} {x}{p}, {I} wake{s} up with it and go{es} to bed with it", "first thing I'd say is {x}{p}",
    "there's been {x}{p}, on and off, mostly on", "you'd think it was nothing, but {x}{p}",
    "it was at the bus stop that {I} had {x}{p}", "{x}{p}, I've told everybody who'd listen",
    "I blame the {x}{p}", "and what do {I} get, {x}{p}", "call it what you like, I call it {x}{p}",
    "{x}{p} again, like my horoscope promised", "{I} had {this} {x}{p} in the middle of dinner",
)  # fmt: skip
MISHEARD = (
    "Sorry, did you say {w}?", "{w}, was that?", "I heard {w}, is that right?", "You're breaking up, {w}?",
    "Let me read that back, {w}?", "{w}?",
)  # fmt: skip
MEND = ("No, {r}.", "No no, {r}.", "Not {w}, {r}.", "{r}, I said.", "{r}. The line's bad.", "No. {r}.")
LED_SYMPTOM = (
    "{youve} had {x}{p}{d}, correct?", "the form says {x}{p}{d}.", "so, {x}{p}{d}, yes?",
    "I have {x}{p}{d} written here.",
    "still the {x}{p}{d}?", "main thing {x}{p}{d}, is that right?", "and {x}{p}{d}?",
    "you told the nurse about {x}{p}{d}.",
    "I understand there's {x}{p}{d}.", "also {x}{p}{d}, I believe?",
)  # fmt: skip
LED = {
    "history": ("{youve} had {x} before?", "there's {x} in the chart, yes?", "past history of {x}?",
    "I see {x} on file."),
    "family": (
        "{your} {r} had {x}, I believe?", "on the family side, {r} with {x}?", "and {x} in {your} {r}?",
        "{r} with {x}, is that correct?",
    ),
    "social": ("it says {x} here, true?", "{x}, is that so?", "under habits I have {x}.", "and {x}, still?"),
    "home_drug": (
        "{x} {n}, {f}, still taking it?", "at home it's {x}, {n}, {f}?", "medication is {x}, {n} {f}, yes?",
        "and {youre} on {x}, {n}, {f}?",
    ),
}  # fmt: skip
LED_DENIED = (
    "No {xs}?", "And no {xs}, correct?", "I've ticked no for {xs}.", "{youve} not had {xs}?",
    "So no {xs} at all?",
    "Still no {xs}?",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Style:
    """How a conversation goes. Probabilities as in `Voice`; `talk` weighs the banks that lengthen it."""

    layout: Callable[[Script], None]
    lay: float
    spoken: float
    slips: float
    hesitant: float
    talk: Mapping[str, float]
    clinician: str = "Doctor"
    patient: str | None = None  # None: "Patient", or the caregiver


def lead(v: Voice, bank: tuple[str, ...], text: str, p: float) -> str:
    """A sentence behind one of the style's openers."""
    if not v.maybe(p * min(1.0, v.wordy)):
        return text
    keep = text[:2] in ("I ", "I'") or text[1:2].isupper()
    return f"{capital(v.fresh(bank))} {text if keep else text[0].lower() + text[1:]}"


def _states(v: Voice, items: list[Item]) -> str:
    return " ".join(clinician.state(v, i) for i in items)


def _nod(v: Voice) -> str:
    return v.fresh(NOD)


def _objective(s: Script, opener: tuple[str, ...], low: int, high: int, react: float) -> None:
    """The clinician speaks the exam; `react`: how often the patient says something between."""
    items = list(s.v.scenario.of("vital", "finding", "result"))
    for n, group in enumerate(chunks(s.v.rng, items, low, high)):
        text = _states(s.v, group)
        turns = [("D", f"{s.v.say(opener)} {text}" if n == 0 and s.v.maybe(0.8) else text)]
        if s.v.maybe(react):
            turns.append(("P", s.v.fresh(REACT)))
        s.add("O", *turns)


def _assess_and_plan(s: Script, low: int, high: int, react: float) -> None:
    v = s.v
    s.add("A", *[("D", clinician.state(v, i)) for i in v.scenario.of("assessment")])
    if v.maybe(react):
        s.add("A", ("P", v.fresh(REACT)))
    items = list(v.scenario.of(*_PLAN))
    if v.maybe(0.4):
        v.rng.shuffle(items)
    for group in chunks(v.rng, items, low, high):
        s.add("P", ("D", _states(v, group)), *([("P", v.fresh(REACT))] if v.maybe(react) else []))


def clinic(s: Script) -> None:
    """Short questions, short answers, in the order of the form."""
    v = s.v
    s.add("open", *exchange(v, "greeting"), *introduce(v))
    for n, group in enumerate(chunks(v.rng, v.scenario.of("symptom"), 1, 2)):
        answer = ("P", " ".join(patient.state(v, i) for i in group))
        s.add("S", answer) if n == 0 else s.add("S", ("D", clinician.ask(v, "symptom", group)), answer)
    parts: list[Role] = ["denied", *_BACKGROUND]
    if v.maybe(0.6):
        v.rng.shuffle(parts)
    for role in parts:
        for group in chunks(v.rng, v.scenario.of(role), 1, 3):
            _asked(s, role, group)
    _objective(s, TURN_EXAM, 2, 4, 0.15)
    _assess_and_plan(s, 2, 4, 0.2)
    s.add("close", *exchange(v, "closing"))


def _asked(s: Script, role: str, group: list[Item], answer_no: float = 0.45) -> None:
    """The clinician asks, the patient answers; to a question that names symptoms a "no" may do."""
    v = s.v
    if role != "denied":
        said = " ".join(patient.state(v, i) for i in group)
        s.add("S", ("D", clinician.ask(v, role, group)), ("P", said))
    elif v.maybe(answer_no):
        s.add("S", ("D", clinician.ask(v, "denied", group)), ("P", v.fresh(NO)))
    else:
        present = v.rng.choice(v.scenario.of("symptom"))
        s.add("S", ("D", v.say(ASK_OPEN)), ("P", patient.denial(v, group, present)))


def chatty(s: Script) -> None:
    """The patient volunteers nearly everything, digressing; the doctor gets a word in now and then."""
    v = s.v
    s.add("open", *exchange(v, "greeting"), *introduce(v))
    first, *rest = v.scenario.of("symptom")
    s.add("S", ("P", lead(v, CHAT_LEAD, patient.state(v, first), 0.6)))
    if v.wordy > 0.5:
        s.add("S", *exchange(v, "small"))
    told = [*rest, *v.scenario.of(*_BACKGROUND)]
    v.rng.shuffle(told)
    for group in chunks(v.rng, told, 1, 3):
        text = " ".join(lead(v, CHAT_LEAD, patient.state(v, i), 0.45) for i in group)
        s.add("S", *([("D", _nod(v))] if v.maybe(0.5) else []), ("P", text))
    for group in chunks(v.rng, v.scenario.of("denied"), 1, 4):
        _asked(s, "denied", group, 0.15)
    _objective(s, TURN_EXAM, 1, 3, 0.5)
    _assess_and_plan(s, 1, 2, 0.5)
    s.add("close", *exchange(v, "closing"))


def telephone(s: Script) -> None:
    """A triage call: single questions, a bad line, numbers misheard and repeated."""
    v = s.v
    s.add("open", *exchange(v, "phone"), *introduce(v))
    for n, item in enumerate(v.scenario.of("symptom")):
        said = ("P", lead(v, PHONE_LEAD, patient.state(v, item), 0.5))
        s.add("S", *([] if n == 0 else [("D", clinician.ask(v, "symptom", [item]))]), said)
        _misheard(s, item)
    for group in chunks(v.rng, v.scenario.of("denied"), 1, 2):
        _asked(s, "denied", group, 0.5)
    background = list(v.scenario.of(*_BACKGROUND))
    v.rng.shuffle(background)
    for item in background:
        question = ("D", clinician.ask(v, item.role, [item]))
        s.add("S", question, ("P", lead(v, PHONE_LEAD, patient.state(v, item), 0.4)))
        _misheard(s, item)
    _objective(s, READINGS, 1, 3, 0.35)
    _assess_and_plan(s, 1, 3, 0.35)
    s.add("close", *exchange(v, "closing"))


def _misheard(s: Script, item: Item) -> None:
    """The nurse repeats a number wrongly, the caller puts it right."""
    v = s.v
    if item.role not in ("symptom", "home_drug") or not v.maybe(0.3):
        return
    if item.role == "home_drug" and item.value and "/" not in item.value:
        right, wrong = f"{item.value} {item.unit}", f"{v.other(item.value)} {item.unit}"
    elif item.role == "symptom" and item.time:
        number, noun = item.time.split(" ", 1)
        right = say_duration(item.time, v.rng, v.spoken)
        wrong = say_duration(f"{v.other(number)} {noun}", v.rng, v.spoken)
    else:
        return
    s.add("S", ("D", v.fill(v.fresh(MISHEARD), w=wrong)), ("P", v.fill(v.fresh(MEND), r=right, w=wrong)))


def followup(s: Script) -> None:
    """The doctor reads out what is on file; the patient says yes, no, or puts it right."""
    v = s.v
    s.add("open", *exchange(v, "follow"), *introduce(v))
    for item in v.scenario.of("symptom"):
        _led_symptom(s, item)
    rest: list[list[Item]] = [[i] for i in v.scenario.of(*_BACKGROUND)]
    rest += chunks(v.rng, v.scenario.of("denied"), 1, 3)
    v.rng.shuffle(rest)
    for group in rest:
        item = group[0]
        if item.role == "denied":
            names = listing([v.name(i.entry) for i in group], "or")
            s.add("S", ("D", v.say(LED_DENIED, xs=names)), ("P", v.fresh(NO)))
        elif v.maybe(0.2):
            _asked(s, item.role, group)
        else:
            dose = v.dose(item, slips=False) if item.value else ""
            text = v.say(
                LED[item.role], x=v.name(item.entry), r=item.relative or "", n=dose, f=v.frequency(item)
            )
            s.add("S", ("D", text), ("P", v.fresh(YES)))
    _objective(s, RECAP, 2, 5, 0.1)
    _assess_and_plan(s, 2, 4, 0.25)
    s.add("close", *exchange(v, "closing"))


def _led_symptom(s: Script, item: Item) -> None:
    v = s.v
    if item.severity or v.maybe(0.15):
        s.add("S", ("D", clinician.ask(v, "symptom", [item])), ("P", patient.state(v, item)))
        return
    answer = v.fresh(YES)
    spell = ""
    if item.time:
        right = said = say_duration(item.time, v.rng, v.spoken)
        if v.maybe(0.35):  # the file has it wrong
            number, noun = item.time.split(" ", 1)
            said = say_duration(f"{v.other(number)} {noun}", v.rng, v.spoken)
            answer = v.say(
                ("no, {r}", "yes, but it's {r}", "more like {r}", "not quite, {r}", "{r}, actually"), r=right
            )
        spell = f" for {said}"
    text = v.say(LED_SYMPTOM, x=v.name(item.entry, lay=0.3), p=v.place(item, v.slot("your")), d=spell)
    s.add("S", ("D", text), ("P", answer))


def rambling(s: Script) -> None:
    """Facts in no order, in lay words, with interruptions; a symptom or a drug comes out at the very end."""
    v = s.v
    s.add("open", *exchange(v, "greeting"), *introduce(v))
    told = [[i] for i in v.scenario.of("symptom", *_BACKGROUND)]
    told += chunks(v.rng, v.scenario.of("denied"), 1, 3)
    v.rng.shuffle(told)
    late = [told.pop()] if len(told) > 2 else []
    exam = chunks(v.rng, v.scenario.of("vital", "finding", "result"), 1, 2)
    for n, group in enumerate(told):
        s.add("S", ("P", _rambled(v, group)))
        if v.maybe(0.35):
            s.add("S", ("D", _nod(v)))
        if v.wordy > 0.5 and v.maybe(0.25 * v.wordy):
            s.add("S", *exchange(v, "cut"))
        if exam and n and v.maybe(0.3):  # the doctor starts measuring while the talk goes on
            s.add("O", ("D", _states(v, exam.pop(0))))
    for part in exam:
        s.add("O", ("D", _states(v, part)), *([("P", v.fresh(REACT))] if v.maybe(0.3) else []))
    _assess_and_plan(s, 1, 3, 0.4)
    for group in late:
        s.add("P", ("P", "Oh, one more thing. " + _rambled(v, group)), ("D", _nod(v)))
    s.add("close", *exchange(v, "closing"))


def _rambled(v: Voice, group: list[Item]) -> str:
    if group[0].role == "denied":
        return lead(v, RAMBLE_LEAD, patient.denial(v, group), 0.4)
    if group[0].role == "symptom" and v.maybe(0.7):
        return lead(v, RAMBLE_LEAD, patient.symptom(v, group[0], RAMBLE_SYMPTOM), 0.5)
    return lead(v, RAMBLE_LEAD, patient.state(v, group[0]), 0.6)


STYLES: dict[str, Style] = {
    "clinic": Style(clinic, 0.4, 0.3, 0.08, 0.05, {"small": 1, "exam": 2, "explain": 4}),
    "chatty": Style(chatty, 0.6, 0.5, 0.12, 0.1, {"small": 6, "exam": 1, "explain": 3}),
    "telephone": Style(
        telephone, 0.5, 0.7, 0.1, 0.3, {"aside": 4, "explain": 4, "small": 1}, "Nurse", "Caller"
    ),
    "followup": Style(followup, 0.45, 0.4, 0.08, 0.05, {"explain": 5, "exam": 2, "small": 1}),
    "rambling": Style(rambling, 0.85, 0.7, 0.2, 0.15, {"cut": 4, "small": 4, "explain": 2, "exam": 1}),
}  # fmt: skip
