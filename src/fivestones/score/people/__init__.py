"""People as judges: what they are asked (`queue`), what they said (`reviews`), and what that is good for:
reward (`reward`), examples of a rubric (`examples`), cases for the audit of another judge (`export`)."""

from fivestones.score.people.reviews import HumanVerdict, Item, Review, Reviews
from fivestones.score.people.reward import PeopleJudge

__all__ = ["HumanVerdict", "Item", "PeopleJudge", "Review", "Reviews"]
