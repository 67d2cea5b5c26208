"""What the patient (or whoever speaks for the patient) says about each kind of fact."""

from __future__ import annotations

from fivestones.environments.soap.realise_voice import Voice, this
from fivestones.environments.soap.scenario import Item
from fivestones.environments.soap.speech import listing

SYMPTOM = (
    "{Ive} had {this} {x}{p}", "{Ive} been having {x}{p}", "{Ive} been getting {x}{p}",
    "there's {this} {x}{p}",
    "{Ive} been dealing with {x}{p}", "{Ive} noticed {x}{p}", "it's {this} {x}{p}", "mostly it's {x}{p}",
    "{I} keep{s} having {x}{p}", "{I} get{s} {x}{p}", "and then there's the {x}{p}", "also {x}{p}",
    "{x}{p}, too",
    "{x}{p}, that's the big one", "on top of that, {x}{p}", "{Ive} got {x}{p}", "{I} started with {x}{p}",
    "{Ive} been bothered by {x}{p}", "{x}{p} as well", "what {I} really notice{s} is the {x}{p}",
    "{I} can't shake {this} {x}{p}", "well, {x}{p}, mainly", "the {x}{p} is what gets {me}",
    "some {x}{p}", "{Ive} been struggling with {x}{p}", "{x}{p}, I'd say that's part of it",
)  # fmt: skip
SYMPTOM_FIRST = (
    "{Ive} had {this} {x}{p}", "{Ive} been having {x}{p}", "{Ive} been getting {x}{p}", "it's {this} {x}{p}",
    "{Ive} been dealing with {x}{p}", "it's mostly {x}{p}", "{I} keep{s} having {x}{p}", "{I} get{s} {x}{p}",
    "{x}{p}, that's the big one", "{I} started with {x}{p}", "{Ive} been bothered by {x}{p}",
    "well, {x}{p}, mainly",
    "what {I} really notice{s} is the {x}{p}", "{I} can't shake {this} {x}{p}",
    "the {x}{p} is why we're talking",
    "in one word, {x}{p}", "the trouble is {x}{p}", "I made the appointment because of {x}{p}",
    "{Ive} been struggling with {x}{p}", "it's about {x}{p}",
)  # fmt: skip
SYMPTOM_VERB = (
    "I {v}", "lately I {v}", "I {v}, to be honest", "I {v}, which isn't like me", "it's just that I {v}",
    "the thing is, I {v}", "and I {v}", "I {v}, believe it or not", "I {v} more than I'd like",
    "these days I {v}",
)  # fmt: skip
DURATION = (
    " for {d}", " for {d} now", " for about {d}", ", going on {d}", ", {d} now", ", it must be {d} by now",
    ", and that's been {d}", ", it started {d} ago", ", been there {d}", ", must be {d} at least",
    ", ever since about {d} ago", ", for the past {d}", " for the last {d}", ", I'd say {d}",
)  # fmt: skip
SEVERE = (
    ", and it's {s}", ", it's {s}, honestly", ", {s} I'd call it", ". It gets {s}", ", pretty much {s}",
    ". If you ask {me}, {s}", ", and I'd say {s}",
)  # fmt: skip
COLOUR = (
    "and it's driving {me} up the wall", "it's really getting in the way at work", "I can't make sense of it",
    "I thought it would go away on its own", "it ruined the weekend",
    "I looked it up online, which was a mistake",
    "my sister told {me} to get it seen to", "I nearly cancelled today, but here we are",
    "I put off coming in",
    "it's worse than {I} let{s} on", "it's the same every single day", "it comes and goes",
    "I can't point to what set it off", "I haven't done anything unusual", "everyone at home has noticed",
    "it started out of the blue", "I kept telling myself it was nothing", "it's got me a bit rattled",
)  # fmt: skip
DENY_ONE = (
    "no {x}", "no, no {x}", "{I} {dont} have any {x}", "{I} {have}n't had {x}", "no {x} at all",
    "none of that, no {x}",
    "definitely no {x}", "no {x}, thankfully", "no {x} that I know of", "not {x}, no", "never had any {x}",
)  # fmt: skip
DENY_LIST = (
    "no {xs}", "no, no {xs}", "{I} {have}n't had any {xs}", "no {xs}, nothing like that", "no {xs} at all",
    "none of that: no {xs}", "{I} {dont} have {xs}", "thankfully no {xs}", "no {xs}, knock on wood",
)  # fmt: skip
DENY_BUT = (
    "no {xs}, but yes to the {y}", "no {xs}, just the {y}", "no {xs}, only the {y} I told you about",
    "{I} {have}n't had {xs}, but the {y}, yes", "not really, no {xs}, but definitely {y}",
)  # fmt: skip
DENY_VERB = ("{I} {dont} {v}", "no, {I} {dont} {v}", "{I} {dont} {v}, no", "not that, {I} {dont} {v}")
HISTORY = (
    "{Ive} had {x}", "{I} {have} a history of {x}", "{I} {was} told {I} had {x}", "{I} had {x} a while back",
    "{x}, it should be in {my} chart", "just {x}, really", "there's the {x}, of course",
    "{x}, but that's old news",
    "well, {x}, you'll see it in the records", "{x}, {I} see{s} somebody for that",
    "{Ive} got {x} on {my} record",
    "the only thing is {x}", "{x}, that's in the file", "there was {x} before",
)  # fmt: skip
HISTORY_VERB = ("I {v}", "well, I {v}", "oh, and I {v}", "I {v}, if that counts", "I {v}, that's about it")
FAMILY = (
    "{my} {r} had {x}", "{my} {r} has {x}", "{x} runs in the family, {my} {r} had it", "{my} {r}, with {x}",
    "there's {x} in the family, {my} {r} had it", "{my} {r} was diagnosed with {x}", "{my} {r} got {x}",
    "{x}, but that was {my} {r}", "{my} {r} dealt with {x} for years", "I know {my} {r} had {x}",
    "just {my} {r}, who had {x}", "{my} {r} was treated for {x}",
)  # fmt: skip
SOCIAL = (
    "{x}, if that matters", "well, {x}", "I should mention {x}", "{x}, I suppose you should know",
    "{x}, for what it's worth", "as for that, {x}", "yes, {x}", "the form says {x}, and that's right",
)  # fmt: skip
SOCIAL_VERB = (
    "I {v}",
    "well, I {v}",
    "I {v}, I won't lie",
    "honestly, I {v}",
    "I {v}, I know, I know",
    "yes, I {v}",
)
DRUG = (
    "{I} take{s} {x}, {n}, {f}", "{x}, {n}, {f}", "{Im} on {x}, {n} {f}", "just {x}, {n} {f}",
    "{I} take{s} {n} of {x} {f}", "{x} {n}, {f}", "{n} of {x}, {f}", "there's {x}, the {n} one, {f}",
    "{Ive} been on {x} for ages, {n} {f}", "the bottle says {x}, {n}, {f}",
    "{x}, it's {n}, {I} take{s} it {f}",
    "only {x}, {n}, and that's {f}", "{x}, I think it's {n}, yes, {n}, {f}",
)  # fmt: skip


def symptom(v: Voice, item: Item, bank: tuple[str, ...] | None = None) -> str:
    """One symptom with its place, duration and severity."""
    if bank is None:
        bank = SYMPTOM if item is not v.scenario.items[0] else SYMPTOM_FIRST
    phrase = v.verb(item.entry) if not (item.side or item.site) and v.maybe(v.lay) else None
    tail = v.fresh(DURATION).format(d=v.duration(item.time)) if item.time else ""
    if item.severity:
        tail += v.fresh(SEVERE).format(s=v.severity(item), me=v.slot("me"))
    if phrase:
        text = v.say(SYMPTOM_VERB, v=phrase)[:-1] + tail
    else:
        x = v.name(item.entry)
        text = v.say(bank, x=x, this=this(x), p=v.place(item, v.slot("my")))[:-1] + tail
    if v.maybe(0.25 * v.wordy):
        text += (", " if v.maybe(0.5) else ". ") + v.fill(v.fresh(COLOUR))[:-1]
        head, _, last = text.rpartition(", ")
        if head and last[:1].isupper() and last[:2] not in ("I ", "I'"):
            text = f"{head}, {last[0].lower()}{last[1:]}"
    return v.um(text + ".")


def denial(v: Voice, items: list[Item], present: Item | None = None) -> str:
    """Denied symptoms, in one list where there are several; perhaps ending with one that is present."""
    verb = v.verb(items[0].entry) if len(items) == 1 else None
    if (
        verb
        and not verb.startswith(("am ", "have ", "do ", "can", "could", "was ", "keep "))
        and v.maybe(0.4)
    ):
        return v.um(v.say(DENY_VERB, v=verb))
    names = [v.name(i.entry) for i in items]
    if present and v.maybe(0.5):
        return v.um(v.say(DENY_BUT, xs=listing(names, "or"), y=v.name(present.entry)))
    if len(names) == 1:
        return v.um(v.say(DENY_ONE, x=names[0]))
    return v.um(v.say(DENY_LIST, xs=listing(names, "or")))


def history(v: Voice, item: Item) -> str:
    if (verb := v.verb(item.entry)) and v.maybe(0.7):
        return v.um(v.say(HISTORY_VERB, v=verb))
    return v.um(v.say(HISTORY, x=v.name(item.entry)))


def family(v: Voice, item: Item) -> str:
    return v.um(v.say(FAMILY, x=v.name(item.entry), r=item.relative or ""))


def social(v: Voice, item: Item) -> str:
    if (verb := v.verb(item.entry)) and v.maybe(0.8):
        return v.um(v.say(SOCIAL_VERB, v=verb))
    return v.um(v.say(SOCIAL, x=v.name(item.entry)))


def home_drug(v: Voice, item: Item) -> str:
    return v.um(v.say(DRUG, x=v.name(item.entry), n=v.dose(item), f=v.frequency(item)))


STATE = {
    "symptom": symptom, "history": history, "family": family, "social": social, "home_drug": home_drug,
}  # fmt: skip


def state(v: Voice, item: Item) -> str:
    """What the patient says of one item that is present."""
    return STATE[item.role](v, item)
