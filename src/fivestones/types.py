"""Every value that crosses a stage boundary; the project's glossary. Imports nothing from this package.

Shapes: G rollouts of one task, P prompt tokens, C completion tokens. Log-probabilities are in nats.
All values are frozen and checked where they are born; a field never changes meaning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Split = Literal["train", "test"]
Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "turns", "error"]
Section = str
Polarity = Literal["present", "absent"]
HELD_OUT = "held out"  # what a tag says, or a report of it: training never saw this


@dataclass(frozen=True, slots=True)
class Call:
    """What an assistant asks of a tool."""

    name: str
    arguments: str  # JSON text of an object


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. What a model sampled is its raw text, calls and all; `calls` are those of a demonstration,
    which the chat template writes in its own syntax behind `content`. A demonstrated mistake, there to show
    how it is mended, is not to be imitated."""

    role: Role
    content: str
    calls: tuple[Call, ...] = ()
    imitate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One instance of the job."""

    id: str
    prompt: tuple[Message, ...]
    reference: Mapping[str, Any]  # hidden from the policy; read by gates and judges
    cluster: str  # condition, company ...: the sampling unit of standard errors
    tags: Mapping[str, str] = field(default_factory=dict)  # style, specialty ...: slices of the report

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError(f"task {self.id}: empty prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The generation contract: one value for training, evaluation, export and serving (compare `digest`)."""

    max_tokens: int = 256
    temperature: float = 1.0  # 0 = greedy
    stop: tuple[str, ...] = ()  # stop strings beside the model's own end tokens
    template: Mapping[str, Any] = field(default_factory=dict)  # extra chat-template arguments
    schema: str | None = None  # JSON Schema that each token must keep to; never while learning by reward

    @property
    def digest(self) -> str:
        """Hash of everything but the temperature (sampling in training, greedy in evaluation is one
        contract)."""
        rest = {k: v for k, v in asdict(self).items() if k != "temperature"}
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    text: str
    token_ids: tuple[int, ...]  # [C] as sampled, end token included
    logprobs: tuple[float, ...]  # [C] under the full softmax at the sampling temperature
    finish: Finish

    def __post_init__(self) -> None:
        if len(self.token_ids) != len(self.logprobs):
            raise ValueError(f"{len(self.token_ids)} tokens but {len(self.logprobs)} log-probs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One attempt. Tokens are the truth: what was sampled is never decoded and tokenized again."""

    task_id: str
    messages: tuple[Message, ...]  # the whole chat, prompt included
    prompt_messages: int  # how many of them are the prompt
    prompt_ids: tuple[int, ...]  # [P]
    completion_ids: tuple[int, ...]  # [C] sampled tokens and, between turns, tool replies
    loss_mask: tuple[bool, ...]  # [C] True where the policy sampled the token
    logprobs: tuple[float, ...]  # [C] 0.0 where loss_mask is False
    finish: Finish
    policy_version: int

    def __post_init__(self) -> None:
        lengths = {len(self.completion_ids), len(self.loss_mask), len(self.logprobs)}
        if len(lengths) != 1:
            raise ValueError(f"rollout of {self.task_id}: unequal stream lengths {sorted(lengths)}")

    @property
    def turns(self) -> tuple[Message, ...]:
        """What was said and heard after the prompt."""
        return self.messages[self.prompt_messages :]

    @property
    def answer(self) -> str:
        """The text of the last message: the policy's final output."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Reward and its parts. `reward is None` means unknown (see `unscored`), which is never zero."""

    reward: float | None
    failed: Mapping[str, str] = field(default_factory=dict)  # gate -> why it failed
    criteria: Mapping[str, float] = field(default_factory=dict)  # criterion -> [0, 1]
    unscored: Mapping[str, str] = field(default_factory=dict)  # criterion -> cause (timeout, unreadable ...)

    def __post_init__(self) -> None:
        bad = {k: v for k, v in self.criteria.items() if not 0.0 <= v <= 1.0}
        if bad:
            raise ValueError(f"criteria outside [0, 1]: {bad}")
        if (self.reward is None) != bool(self.unscored):
            raise ValueError("reward is None exactly when something is unscored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says of one output: criterion -> value in [0, 1], or criterion -> why it abstained."""

    criteria: Mapping[str, float]
    unscored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    task: Task
    rollouts: tuple[Rollout, ...]  # [G]
    scores: tuple[Score, ...]  # [G]

    def __post_init__(self) -> None:
        if len(self.rollouts) != len(self.scores):
            raise ValueError(
                f"group {self.task.id}: {len(self.rollouts)} rollouts, {len(self.scores)} scores"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the update reads. Samples of one task share `prompt_ids`, so that the prompt is computed once."""

    task_id: str
    prompt_ids: tuple[int, ...]  # [P]
    completion_ids: tuple[int, ...]  # [C]
    loss_mask: tuple[bool, ...]  # [C]
    logprobs: tuple[float, ...]  # [C] of the sampler
    advantages: tuple[float, ...]  # [C] 0.0 where loss_mask is False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured quantity: never a bare number in a report. 95% interval."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One checkable statement about a case. Attributes that are None do not apply."""

    id: str
    section: Section  # S, O, A or P (or any field name of a structured output)
    concept: str  # key into the lexicon
    forms: tuple[str, ...] = ()  # further surface forms that count as this concept in this case
    polarity: Polarity = "present"
    value: str | None = None  # canonical decimal number, or a pair such as "142/88"
    unit: str | None = None  # canonical unit: mg, day, week, month, year, F, bpm, mmHg, % ...
    side: str | None = None  # left, right, both
    site: str | None = None  # body site
    time: str | None = None  # duration or frequency, canonical: "3 day", "twice daily"
    experiencer: str = "patient"  # patient, or the relative: mother, father ...
    critical: bool = False  # contradiction of it (polarity, dose, side) zeroes the section
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """A lexicon entry: what a judge can recognise in a text."""

    name: str  # unique key, lower case
    kind: str  # symptom, finding, vital, condition, drug, test, plan, history, social, body_site, other
    forms: tuple[str, ...]  # surface forms, lower case, clinical and lay, the preferred one first
    section: Section | None = None  # where it belongs when that is always the same
