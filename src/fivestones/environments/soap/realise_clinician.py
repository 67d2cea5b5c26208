"""What the clinician asks, finds, concludes and plans, aloud."""

from __future__ import annotations

from fivestones.environments.soap.realise_voice import Voice, article
from fivestones.environments.soap.scenario import Item
from fivestones.environments.soap.speech import listing, pick, say_duration

ASK = {
    "symptom": (
        "What's been going on?", "what else {hv} {you} noticed?", "Anything else?", "tell me more.",
        "What else?",
        "And besides that?", "Any other complaints?", "How {hv} {you} been otherwise?", "Anything new since?",
        "Could {you} describe it?", "go on.", "mm-hm, and?", "Okay. What other symptoms?", "How long now?",
        "what bothers {obj} most?", "Is there more to it?", "Right, anything on top of that?",
    ),
    "denied": (
        "Any {xs}?", "{does} {you} have {xs}?", "What about {xs}?", "{hv} {you} had {xs}?", "No {xs}?",
        "Let me ask about {xs}.", "Can I check for {xs}?", "How about {xs}?", "Anything like {xs}?",
        "So, {xs}?",
        "Just to rule things out: {xs}?", "I have to ask, {xs}?",
    ),
    "history": (
        "Any past medical history?", "What medical problems {hv} {you} had before?", "Past history?",
        "Anything in the past I should know about?", "Any long-standing conditions or operations?",
        "What's on {your} medical record?", "Previous illnesses or surgery?",
        "What has {your} health been like?",
    ),
    "family": (
        "Anything in the family?", "Any family history?", "What runs in {your} family?",
        "And {your} relatives?",
        "Do any relatives have medical problems?", "Parents, siblings, anyone with health issues?",
        "What about the family's health?", "Family history, anything there?",
    ),
    "social": (
        "Anything about {your} habits or home life?", "Tell me a bit about daily life.",
        "Any habits to mention?",
        "What about lifestyle?", "Work, home, habits, anything relevant?", "And the social side of things?",
        "Anything in {your} routine I should know?", "How are things at home and at work?",
    ),
    "home_drug": (
        "What medicines {does} {you} take?", "Any regular medication?", "Current medications?",
        "On any tablets?",
        "What's on the medication list?", "{does} {you} take anything daily?", "Any prescriptions?",
        "Which medicines are we talking about, and how much?", "Remind me what {you} take{S} at home.",
    ),
}  # fmt: skip
VITAL = (
    "{your} {x} is {n}", "{x} is {n}", "I've got {your} {x} at {n}", "{x} reading {n}", "{x} {n}",
    "{x} comes out at {n}", "the {x} shows {n}", "{n} for the {x}", "I'm seeing {your} {x} at {n}",
    "{x}: {n}",
    "let's see, {x}, {n}", "we have {your} {x} at {n}", "{x} was {n} just now",
    "looks like {n} for {your} {x}",
    "that puts {your} {x} at {n}", "{your} {x} today is {n}",
)  # fmt: skip
FINDING = (
    "on exam I find {x}{p}", "there is {x}{p}", "I'm noting {x}{p}", "what I find is {x}{p}",
    "{x}{p}, I'd say",
    "I do see {x}{p}", "okay, {x}{p}", "exam shows {x}{p}", "so, {x}{p}", "{x}{p}, that's what I'm finding",
    "I'm going to write down {x}{p}", "there we are, {x}{p}", "looking here, {x}{p}", "I can make out {x}{p}",
    "the exam tells me {x}{p}", "{x}{p} on examination",
)  # fmt: skip
REASSURING = (
    "{x}{p}, that's good", "exam shows {x}{p}", "okay, {x}{p}", "{x}{p} on examination", "so, {x}{p}",
    "good, {x}{p}", "I'm writing {x}{p}", "nothing odd here: {x}{p}", "there we are, {x}{p}",
    "{x}{p}, as it should be",
)  # fmt: skip
RESULT = (
    "{your} {t} came back at {n}", "the {t} is {n}", "{t} is {n}", "{t} {n}", "we got a {t} of {n}",
    "{your} {t} was {n}", "the lab gave us a {t} of {n}", "{t} came in at {n}", "I have {your} {t} here, {n}",
    "{n} on the {t}", "and the {t}, that's {n}",
)  # fmt: skip
RESULT_FINDING = (
    "the {t} shows {x}{p}", "{your} {t} showed {x}{p}", "on the {t} there's {x}{p}", "{t} with {x}{p}",
    "I have the {t} here: {x}{p}", "the {t} came back with {x}{p}", "they report {x}{p} on the {t}",
    "looking at the {t}, {x}{p}",
)  # fmt: skip
ASSESS = (
    "I think this is {x}", "this looks like {x}", "this is {x}", "it all fits with {x}",
    "we're dealing with {x}",
    "the diagnosis is {x}", "my impression is {x}", "everything points to {x}", "I'd call this {x}",
    "what {youve} got here is {x}", "putting it together, {x}", "I'm fairly confident it's {x}",
    "that adds up to {x}", "so the name for this is {x}", "I believe we have {x} here", "to me this is {x}",
)  # fmt: skip
SEVERITY = (
    "a {s} case", "{s}, in my judgement", "{s} as these things go", "{s} at this point", "{s} on my scale",
    "I'd grade it {s}", "I'd put it down as {s}",
)  # fmt: skip
PRESCRIBE = (
    "I'm starting {obj} on {x}, {n}, {f}", "I'll prescribe {x}, {n} {f}", "let's go with {x}, {n}, {f}",
    "I want {obj} on {x} {n}, {f}", "we'll use {x}, {n}, {f}", "I'm sending a script for {x}, {n}, {f}",
    "take {x}, {n}, {f}", "I'd go for {x}, {n}, {f}", "the medicine is {x}: {n}, {f}", "{x} it is, {n}, {f}",
    "I'm writing up {x}, {n}, to be given {f}", "we'll add {x}, {n}, {f}", "so {x}, {n}, {f}",
    "here's the prescription, {x}, {n}, {f}", "I'd like to give {obj} {n} of {x}, {f}",
)  # fmt: skip
ORDER = (
    "I'd like to order {x}", "we'll get {x}", "let's get {x}", "I want {x} done", "{you}'ll need {x}",
    "I'm requesting {x}", "next we arrange {x}", "I'm booking {x}", "I'd also like to see {x}",
    "let's set up {x}", "I'm putting in for {x}", "and we do {x} to be sure",
)  # fmt: skip
PLAN = (
    "I'd recommend {x}", "the plan includes {x}", "next step is {x}", "I'm also arranging {x}",
    "I'd add {x}", "there's also {x}", "another part of it is {x}", "I'm going to suggest {x}",
    "we go ahead with {x}", "what helps here is {x}", "I'm putting down {x}", "please count on {x}",
)  # fmt: skip
ADVISE = (
    "I'd like {obj} to {v}", "I want {obj} to {v}", "it would help to {v}", "please {v}", "try to {v}",
    "do {v}", "the best thing is to {v}", "my advice is to {v}", "remember to {v}", "make sure to {v}",
)  # fmt: skip
WE_WILL = ("we'll {v}", "let's {v}", "next, we'll {v}", "so we'll {v}", "I think we'll {v}", "and let's {v}")
FOLLOWUP = (
    "come back in {d}", "I want {obj} to come back in {d}", "let's follow up in {d}",
    "we'll follow up in {d}",
    "book a return visit in {d}", "I'd like a recheck in {d}", "follow up with me in {d}", "recheck in {d}",
    "please come back in {d}", "make a follow-up for {d} from now", "plan on a return visit in {d}",
    "front desk will book a follow-up in {d}", "{d} from now we follow up",
)  # fmt: skip


def ask(v: Voice, role: str, items: list[Item]) -> str:
    """A question that items of this role answer (a denial's question names the symptoms)."""
    s = "s" if v.third else ""
    return v.say(ASK[role], xs=listing([v.name(i.entry, lay=0.6) for i in items], "or"), S=s)


def vital(v: Voice, item: Item) -> str:
    return v.say(VITAL, x=v.name(item.entry, lay=0.5), n=v.measure(item))


def finding(v: Voice, item: Item) -> str:
    place = v.place(item, pick(v.rng, ("the", v.slot("your"))))
    if item.test:
        return v.say(RESULT_FINDING, t=v.name(item.test, lay=0.3), x=v.name(item.entry, lay=0.3), p=place)
    return v.say(REASSURING if item.entry.reassuring else FINDING, x=v.name(item.entry, lay=0.35), p=place)


def result(v: Voice, item: Item) -> str:
    return v.say(RESULT, t=v.name(item.entry, lay=0.4), n=v.measure(item))


def assessment(v: Voice, item: Item) -> str:
    x = v.name(item.entry, lay=0.3)
    if not item.severity:
        return v.say(ASSESS, x=x)
    if v.maybe(0.5):
        return v.say(ASSESS, x=f"{item.severity} {x}")
    return v.say(ASSESS, x=x)[:-1] + ", " + v.fresh(SEVERITY).format(s=item.severity) + "."


def drug(v: Voice, item: Item) -> str:
    return v.say(PRESCRIBE, x=v.name(item.entry, lay=0.25), n=v.dose(item), f=v.frequency(item))


def order(v: Voice, item: Item) -> str:
    x = v.name(item.entry, lay=0.4)
    return v.say(ORDER, x=x if item.entry.type == "lab" else f"{article(x)} {x}")


def plan(v: Voice, item: Item) -> str:
    if (verb := v.verb(item.entry)) and v.maybe(0.6):
        return v.say(ADVISE if item.entry.type == "advice" else WE_WILL, v=verb)
    return v.say(PLAN, x=v.name(item.entry, lay=0.15))


def followup(v: Voice, item: Item) -> str:
    assert item.time is not None
    return v.say(FOLLOWUP, d=say_duration(item.time, v.rng, v.spoken))


STATE = {
    "vital": vital, "finding": finding, "result": result, "assessment": assessment,
    "drug": drug, "order": order, "plan": plan, "followup": followup,
}  # fmt: skip


def state(v: Voice, item: Item) -> str:
    """What the clinician says of one item."""
    return STATE[item.role](v, item)
