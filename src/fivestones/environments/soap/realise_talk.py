# ruff: noqa: E501  (a line of a bank is one exchange)
"""Talk that belongs in no section of a note: greetings, small talk, explanations, worries, interruptions.

One line is one exchange; turns are separated by "/" and start with the speaker (D clinician, P patient or
caregiver). "[a|b]" is a choice. An exchange is used at most once in a dialogue.
"""

from __future__ import annotations

import re
from random import Random

from fivestones.environments.soap.realise_voice import Turn, Voice
from fivestones.environments.soap.speech import capital, pick

GREETING = """
D Good [morning|afternoon], [come on in|have a seat|please sit down]. / P [Thanks for seeing me|Thank you, doctor|Hello there].
D Hello, [what brings you in today|what can I do for you|how can I help]? / P [Hi|Hello|Morning], [where do I start|I'll try to be quick|thanks for fitting me in].
D [Hi there|Hello again|Welcome], I'm Dr. [Patel|Nguyen|Brooks|Okafor|Lindqvist|Moreau|Haddad|Kim]. / P Nice to meet you, doctor.
D [Right then|All right|Okay], tell me what's going on. / P [Okay|Sure|Well], here goes.
D Come in, come in. [Take the chair by the window|Leave your coat anywhere|Mind the step]. / P [Lovely|Ta|Thanks], doctor.
D [Sorry about the wait|We're running a little behind|Thanks for waiting]. / P [No trouble|That's all right|I had my book].
"""
PHONE_GREETING = """
D Nurse line, this is [Dana|Marcus|Joy|Priya|Ellen|Tomas] speaking. / P [Hi|Hello], can you hear me okay?
D You're through to [triage|the nurse desk|the advice line], go ahead. / P Oh, finally, I was on hold for ages.
D Thanks for calling, [how can I help|what's the matter today]? / P [Hi, yes|Hello, sorry], I'm in the [car|kitchen|garage], it's noisy.
D Advice line, [Joy|Sam|Rita|Omar] here, you're on speaker. / P [Great|Okay|Right], let me turn the television down.
"""
FOLLOW_GREETING = """
D Welcome back, let me [run through|go over|check] what I have on file. / P [Sure|Go ahead|Fine by me].
D [Good to see you again|Back so soon], I've read the notes from the front desk. / P [Okay|Good], then I needn't repeat it all.
D Let's [review|recap] where we stand, and stop me if I get it wrong. / P [Will do|Okay, doctor].
D I'll summarise and you just say yes or no. / P [Perfect|That's easiest|Suits me].
"""
CAREGIVER = """
P I'm here [about|with] {whose}, [I'll do the talking|as you can see|who won't say much].
P It's for {whose}, not for me.
P I've brought {whose} along, [shy as ever|bit of a fight to get here].
"""
CLOSING = """
D [Any questions|Anything else before you go|Does that make sense]? / P [No, that's clear|I think that's everything|Got it], thank you.
D [Take care now|Look after yourself|All the best]. / P [Thanks, doctor|Thank you so much|Bye now].
D [We'll leave it there|That's all from me|Okay, we're done]. / P [Great|Perfect|Okay], [thanks again|much appreciated].
D Call us if [anything changes|you get stuck|things get worse]. / P [I will|Sure thing|Will do].
P [Right|Okay], [I'll remember that|I've written it down|that's a plan]. / D [Good|Excellent|Very good].
"""
SMALL = """
P [Parking|The parking garage] was [a nightmare|hopeless|full to the roof] again, I [drove around|circled] [twice|for ages]. / D [They're resurfacing it|I hear that a lot|I cycle in for that very reason].
P [Lovely|Terrible|Strange] weather for [the time of year|this month], isn't it? / D [It is|They say rain by {day}|Can't complain].
P My [neighbor|cousin|brother-in-law] [sold|finally fixed] his [boat|motorbike|caravan], so that's the news. / D [Good for him|Is that so]. Let's come back to you.
D Did you [see|catch] the [match|game] on {day}? / P [Only the second half|Don't get me started|I was listening on the radio].
P We [just got|adopted] a [puppy|kitten|rescue dog], [chews everything|lives under the sofa]. / D [What's it called|My kids want one too]? / P [Biscuit|Olive|Captain|Mabel].
P I was meant to be [at the market|at choir practice|at a wedding fitting] today. / D We'll try not to keep you too long.
D [How's the garden|Still growing tomatoes]? / P [The slugs won this year|More beans than anyone can eat|I've given up on roses].
P The lady at the desk couldn't find my [card|file|appointment]. / D [New computer system|They've moved everything], bear with us.
P My [grandson|niece|nephew] starts at the [big school|new college] on {day}. / D [They grow up fast|How exciting].
P I [almost left|was early for once], then the bus [broke down|took the long way round]. / D Well, you made it.
P Is that a new [painting|plant|clock]? / D A [patient|colleague] brought it in. / P It brightens the place up.
P They're [digging up|closing] our [road|bridge] again until {day}. / D I came that way, [chaos|total chaos].
P I've been reading a [thriller|biography|book about trains] in your waiting room. / D [Any good|Worth borrowing]? / P [Not bad|The ending is daft].
P We had {food} at the [club|church hall] on {day}, [forty people came|a real crowd]. / D That sounds like fun.
D Are you still [working at|with] the [bakery|library|depot|garage]? / P [Till spring|Part time now|For my sins].
P Sorry, that's my [phone|daughter calling], I'll switch it off. / D [Go ahead|Take your time].
P I'd have come sooner but the [boiler|washing machine] packed up on {day}. / D [Oh dear|When it rains it pours].
P Your [colleague|locum] last time was very [young|chatty]. / D She's [settling in nicely|back in the city now].
P I keep meaning to [repaint the hall|clear the attic], it never happens. / D I know that [feeling|story] well.
D [Mind if I type|I'll be typing] while we talk? / P [Not at all|My handwriting is worse], go ahead.
P We drove down from [the lake|my cousin's place|up north] last {day}. / D [A long drive|Quite the trip]. / P [Four hours|All day], with the roadworks.
P My [wife|husband|sister] made me a list, [but I left it on the fridge|somewhere in this bag]. / D We'll [manage|do it from memory].
P The [prices|queues] at the supermarket these days, honestly. / D Tell me about it.
P I used to [play the trumpet|drive a tram|coach the under-tens], would you believe. / D [Really|I didn't know that]? / P Years ago now.
P There's a [festival|flea market] in town this {day}. / D I'll [look out for it|stay well clear of it].
P I saw on television that [everyone should eat beetroot|chocolate is good for you now]. / D [I'd take that lightly|Television says a lot of things].
P My [aunt|friend] swears by [some tea from the internet|copper bracelets]. / D [Let's stick to what we know|Each to their own].
P {food} for lunch again, that's what I smelled out there. / D [The canteen|That'll be the canteen], I'm afraid.
D You've come a long way from [the coast|out of town]? / P [Two buses|A lift from my neighbor], actually.
P Do you remember [the old clinic on Mill Street|when this was a bank]? / D Before my time, I'm sorry to say.
P I told [Frank|Doris|Maureen] I'd be back by [noon|four]. / D Then we'd better get going.
P Is it me or is it [cold|warm|stuffy] in this room? / D [The thermostat has a mind of its own|I'll open the door a crack].
P I won [twelve dollars|a hamper] at the raffle, so my luck's turning. / D [Congratulations|Well done you].
P [The lift|The ticket machine] isn't working again, by the way. / D I'll let [facilities|somebody] know.
"""
EXAM = """
D [Let me|I'm just going to] wash my hands first. / P [Of course|Sure].
D Hop up on the [couch|table] for me. / P It's a bit high for me. / D There's a step just there.
D [Sit still|Try to relax] for a moment, please. / P [Okay|Like this]?
D This may be [a little cold|chilly]. / P [Ooh, it is|I've felt worse].
D [Sleeve up|Roll your sleeve up], please. / P Which one? / D Either is fine.
D [Deep breath in|Big breath], and out. / P [Like so|Okay]. / D Perfect, once more.
D [Look straight ahead|Follow my finger]. / P [Right|Okay then].
D Let me just [find my stethoscope|get the other cuff], it was here a minute ago. / P It's round your neck. / D So it is.
D Now I'm going to [take a proper look|examine you]. / P Go ahead, I trust you.
D The machine takes [a second|a moment] to settle. / P [No rush|Technology].
D [Uncross your legs|Feet flat on the floor] for this one. / P Sorry, habit.
D [Nearly done|Almost there]. / P [Take your time|That wasn't so bad].
P Is that [number|reading] good or bad? / D I'll put it all together for you in a moment.
P You've got [freezing|very cold] hands, doctor. / D Cold hands, warm heart, they say.
D All right, you can [sit back up|get down again]. / P Thanks, give me a second.
D The results are [just loading|on the other screen]. / P [Slow computers here too|My internet is the same].
D I'll write these down as we go. / P [Fine|Sure], what do they tell you?
"""
EXPLAIN = """
P Is that [serious|something to worry about]? / D It's [something we see a lot|well understood], and we have a clear way forward.
P [How did I get it|Where does that come from]? / D Often there's no single reason, it's [a mix of things|partly luck].
P [Can you spell that|Say that again]? / D I'll print it out, so don't worry about the name.
D [Let me explain|In plain words], what matters is that we act early and keep an eye on it. / P [That makes sense|Okay, good].
P I was [afraid|worried] it would be something worse. / D [I understand|That's natural], most people feel like that.
P [Will it go away|Does it clear up]? / D With the right care [most people do well|I expect a good course], though I can't promise dates.
D I know that's a lot of information. / P My head's spinning a bit with it, but go on. / D We'll take it step by step.
P My [wife|husband|daughter] will ask me a hundred questions tonight. / D Then [take this leaflet|bring them next time], it helps.
P [Should I|Do I need to] tell my boss? / D Only if you want to, I can [write a letter|give you a note].
D The pharmacy on the corner [is open late|delivers], if that helps. / P [That's handy|Good to know].
P [Can I still travel|What about our holiday]? We've booked the [coast|mountains]. / D Let's decide that nearer the time.
P What did people do about this in the old days? / D [Mostly waited|Nothing very pleasant], I'm afraid.
D I'd rather explain it twice than have you guess. / P I appreciate that, the last place rushed me.
D I'll draw you a little picture. / P [Oh, that's clever|That helps, actually]. / D So this part here is what we're treating.
P Is there a [cream or a gadget|magic trick] for it? / D I wish there were, it's mostly patience and following the plan.
D [Some people|A few people] ask about herbal remedies, I'd hold off for now. / P Fair enough, I'm not one for that.
P And if I don't do anything? / D Then it [tends to drag on|may come back to bite us], so I'd rather we did.
D Keep the sheet on the fridge where you can see it. / P Next to the school menu, it'll be in good company.
P [Who do I ring|Which number is it] if I'm stuck at night? / D It's printed at the bottom of the page, somebody always answers.
D It helps to write things down between visits. / P I've got a [notebook|diary] from my [granddaughter|sister], I'll use that.
P The internet told me all sorts of horrible things. / D The internet doesn't have you sitting in front of it.
D We go by how you are, not only by the numbers. / P That's what I like about this place.
P Are you [sure|quite sure]? / D As sure as I can be today, and if things don't add up, we look again.
D I've seen this [many times|a great deal], and the plan is tried and tested. / P Then I'm in good hands.
P Will my insurance cover [all that|it]? / D The desk can check, I believe so in most cases.
D It isn't your fault, I want to be clear on that. / P Thank you, I needed to hear that.
P Could it be the [new mattress|paint fumes|stress at the office]? / D I doubt it, though it's a reasonable thing to ask.
D Change one thing at a time, that way we know what works. / P I tend to do everything at once, that's my trouble.
P My [friend|colleague] had something and got [totally different|quite other] advice. / D Everybody's case is a little different.
D Don't be shy about calling. / P I never like to bother people. / D That's what we're here for.
D The first week is usually the hardest. / P I can manage a week.
P What's the goal here, then? / D To get you back to the things you enjoy, simple as that.
D I'll send a copy of this to [your regular doctor|the other office]. / P [He'll|She'll] be glad to be in the loop.
P I suppose I can't put it off any longer. / D You've done the right thing by coming in.
D Let me double check I've typed that correctly. / P Take your time, I'd rather it was right.
D I always tell people, slow and steady. / P My [mother|old teacher] used to say exactly that.
"""
ASIDE = """
P Hang on, the [dog|cat] wants out. [Okay|Right], I'm back. / D [No problem|Take your time].
P [Get down from there|Not now, love|Leave that alone], sorry, [the kids|my youngest]. Go on. / D I know how that goes.
D You're breaking up [a little|a bit]. / P [Better now|Is this better]? I moved to the window. / D Much better.
P Sorry, somebody's at the door. [Just the mail|Wrong house], where were we? / D I was [writing that down|asking you something].
D One second, my screen [froze|has gone blank]. Okay, it's back. / P [Computers|No rush].
P Can you hear that [drilling|hammering]? [Next door|The neighbors] are at it again. / D Faintly, carry on.
D [Bear with me|Hold the line], I'm pulling up the record. / P [I'm here|Sure].
P I've got you on speaker, my hands are full. / D That's fine, just speak up.
P Let me put my glasses on. [There|Right]. / D [Good|Whenever you're ready].
P Battery's at [nine|six] percent, I'll plug in. / D We'll be quick.
"""
CUT = """
P Sorry, can I just ask, is the [parking|ticket] stamped at the desk? / D Yes, on your way out. As I was saying.
P Before I forget, [Aunt Rose|my sister|the neighbor] sends her regards. / D [Kind of her|That's nice]. Now then.
P Oh, look at that [bird|van|rain] out there. / D Let's stay with this for a moment.
P Did I say that already? [I lose track|I go round in circles]. / D You're doing fine.
P Where was I? Oh yes. / D [Go on|You were telling me].
P It was a {day}, I know because of the {food}. No, it was the day after. Anyway. / D Roughly is fine.
P [My mother always said|Like my father used to say], never trust a [short|cheap] ladder. / D Wise words, but let's carry on.
P I had the [list|envelope] in this pocket. Or the other coat. Never mind. / D We can do without.
P We were halfway through the {food} when I thought, somebody has to look at this. / D And here you are.
P [Wait|Hold on], no, I've lost it. It'll come back. / D No hurry at all.
P You know the [shop|corner] by the old cinema? No? Doesn't matter. / D I think I do, but go on.
"""
NEIGHBOUR = """
P My [neighbor|coworker|friend Gail|boss] has {x}, mind you, that's a different story. / D [Let's stick with you|That's for their own doctor] for now.
P My [hairdresser|mailman|landlord] was going on about {x} the other day. / D [I see|People do talk]. Back to why you're here.
P They had {x} on that hospital show last night. / D [I don't watch it|Too dramatic for me].
P My [friend|teammate] came down with {x}, but that's [nothing to do with this|another matter]. / D Right, so let's focus.
"""
OLD_DRUG = """
P Years back I was on {x}, but that's long stopped. / D [Then we can ignore it|That's not relevant now].
P There used to be {x}, ages ago, not anymore. / D [Okay, off the list|Fine, I'll leave that out].
D I see {x} on an old list. / P Oh, that was stopped [years|a decade] ago. / D I'll take it off then.
"""
OTHER_DRUG = """
P My [neighbor|brother-in-law|friend Ted] takes {x} and swears by it, should I? / D No, that's for something else altogether.
P I saw an advert for {x} on the bus. / D That isn't for you, don't worry.
P The [man|woman] in the waiting room was asking for {x}. / D That's somebody else's prescription.
"""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FOOD = (
    "lasagna", "fish pie", "pancakes", "barbecue", "lentil soup", "roast chicken", "dumplings", "chili", "pizza",
    "meatloaf", "curry", "apple cake", "sandwiches", "spaghetti", "tacos", "potato salad",
)  # fmt: skip
_CHOICE = re.compile(r"\[([^]]*)\]")

BANKS: dict[str, tuple[str, ...]] = {
    name: tuple(line for line in text.strip().splitlines())
    for name, text in {
        "greeting": GREETING, "phone": PHONE_GREETING, "follow": FOLLOW_GREETING, "caregiver": CAREGIVER,
        "closing": CLOSING, "small": SMALL, "exam": EXAM, "explain": EXPLAIN, "aside": ASIDE, "cut": CUT,
        "neighbour": NEIGHBOUR, "old_drug": OLD_DRUG, "other_drug": OTHER_DRUG,
    }.items()
}  # fmt: skip


def expand(line: str, rng: Random, **slots: str) -> list[Turn]:
    """One line of a bank as turns, its choices made and slots filled."""
    text = _CHOICE.sub(lambda m: pick(rng, m[1].split("|")), line)
    text = text.format(day=pick(rng, _DAYS), food=pick(rng, _FOOD), **slots)
    return [(turn[0], capital(turn[2:].strip())) for turn in text.split(" / ")]


def exchange(v: Voice, bank: str, **slots: str) -> list[Turn]:
    """An exchange of this bank that the dialogue has not had yet; none when all have been used."""
    left = [line for line in BANKS[bank] if line not in v.used]
    if not left:
        return []
    line = pick(v.rng, left)
    v.used.add(line)
    return expand(line, v.rng, **slots)


def introduce(v: Voice) -> list[Turn]:
    """The caregiver says whom this is about."""
    who, sex = v.scenario.caregiver, v.scenario.sex
    if who is None:
        return []
    young = v.scenario.age < 18
    if young:
        child = "son" if sex == "male" else "daughter"
        whose = f"my grand{child}" if who.startswith("grand") else f"my {child}"
    else:
        whose = "my dad" if sex == "male" else "my mom"
    return exchange(v, "caregiver", whose=whose)


def distract(v: Voice) -> list[list[Turn]]:
    """The distractors of the scenario, as exchanges."""
    return [exchange(v, i.role, x=v.name(i.entry, lay=0.5)) for i in v.scenario.distractors]
