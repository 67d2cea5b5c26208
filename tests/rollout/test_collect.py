"""Rollouts over several turns, with a scripted sampler and environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fivestones.protocols import Gate
from fivestones.rollout.collect import collect
from fivestones.types import Completion, Finish, Generation, Message, Rollout, Task


class Script:
    """Answers by prompt length; notes what it was asked."""

    def __init__(self, answers: Mapping[int, tuple[str, Finish]]) -> None:
        self.answers = answers
        self.asked: list[tuple[list[tuple[int, ...]], list[int]]] = []

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        generation: Generation,
        seeds: Sequence[int],
        ended: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        self.asked.append(([tuple(p) for p in prompts], list(seeds)))
        out = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            text, finish = self.answers[len(prompt)]
            out.append(
                Completion(
                    text=text,
                    token_ids=tuple(range(50, 50 + len(text))),
                    logprobs=(-float(seed),) * len(text),
                    finish=finish,
                )
            )
        for place in reversed(range(len(out))):  # in no order of the prompts
            if ended:
                ended(place, out[place])
        return out

    def sync(self, weights: Any, version: int) -> None: ...


class Shop:
    """Replies to `ask`; anything else ends the episode."""

    gates: Mapping[str, Gate] = {}

    def tasks(self, split: str) -> list[Task]:
        return []

    def reply(self, task: Task, messages: Sequence[Message]) -> Sequence[Message]:
        return [Message("tool", "42")] if messages[-1].content == "ask" else ()


class OneTokenAWord:
    ends = (59,)

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return tuple(range(len(messages[-1].content)))

    def reply_ids(
        self, messages: Sequence[Message], replies: Sequence[Message], *, ended: bool
    ) -> tuple[int, ...]:
        assert messages[-1].role == "assistant"
        return (91,) if ended else (90, 91)


def task(name: str, prompt: str) -> Task:
    return Task(id=name, prompt=(Message("user", prompt),), reference={}, cluster=name)


def rolled(
    script: Script,
    tasks: Sequence[Task],
    max_turns: int,
    group_size: int = 2,
    context: int = 99,
    ended: Callable[[int, Rollout], None] | None = None,
) -> list[Rollout]:
    return collect(
        Shop(),
        tasks,
        script,
        OneTokenAWord(),
        Generation(max_tokens=10),
        lambda task, member, turn: 100 * (task.id == "b") + 10 * member + turn,
        group_size=group_size,
        max_turns=max_turns,
        context=context,
        version=3,
        ended=ended,
    )


def test_replies_are_masked_out_and_the_next_turn_sees_them() -> None:
    script = Script({4: ("ask", "stop"), 2: ("bye", "stop"), 4 + 3 + 2: ("done", "stop")})
    told: dict[int, Rollout] = {}
    rollouts = rolled(script, [task("a", "wxyz"), task("b", "xy")], max_turns=3, ended=told.__setitem__)
    assert [r.task_id for r in rollouts] == ["a", "a", "b", "b"]
    # each is told of once, in the turn that ends it
    assert list(told) == [3, 2, 1, 0] and [told[i] for i in range(4)] == rollouts
    long, other = rollouts[:2]
    assert long.completion_ids == (50, 51, 52, 90, 91, 50, 51, 52, 53)
    assert long.loss_mask == (True,) * 3 + (False,) * 2 + (True,) * 4
    assert long.logprobs == (0.0,) * 5 + (-1.0,) * 4
    assert other.logprobs == (-10.0,) * 3 + (0.0,) * 2 + (-11.0,) * 4
    assert [m.content for m in long.messages] == ["wxyz", "ask", "42", "done"]
    assert long.answer == "done" and long.finish == "stop" and long.policy_version == 3
    assert long.prompt_ids == (0, 1, 2, 3)
    short = rollouts[2]
    assert short.completion_ids == (50, 51, 52) and all(short.loss_mask)
    # only the open chats go on, each with its whole history
    assert [len(p) for p, _ in script.asked] == [4, 2]
    assert script.asked[1][0] == [(0, 1, 2, 3, 50, 51, 52, 90, 91)] * 2
    assert [seeds for _, seeds in script.asked] == [[0, 10, 100, 110], [1, 11]]


def test_turns_run_out_and_the_answer_is_still_the_policys() -> None:
    (rollout, _) = rolled(Script({4: ("ask", "stop"), 9: ("ask", "stop")}), [task("a", "wxyz")], 2)
    assert rollout.finish == "turns"
    assert rollout.answer == "ask" and rollout.messages[-1].role == "assistant"
    assert rollout.completion_ids == (50, 51, 52, 90, 91, 50, 51, 52) and rollout.loss_mask[-1]


def test_an_episode_ends_where_another_turn_would_not_fit() -> None:
    answers: dict[int, tuple[str, Finish]] = {4: ("ask", "stop"), 9: ("done", "stop")}
    fits = 4 + 3 + 2 + 10  # prompt, answer, reply, and all that the next turn may say
    assert rolled(Script(answers), [task("a", "wxyz")], 3, context=fits)[0].answer == "done"
    script = Script(answers)
    full = rolled(script, [task("a", "wxyz")], 3, context=fits - 1)[0]
    assert (full.answer, full.finish, len(full.completion_ids)) == ("ask", "length", 3)
    assert len(script.asked) == 1


def test_an_end_token_that_was_sampled_is_not_written_again() -> None:
    """A tenth token is 59, the end; `ask` of three tokens stopped otherwise."""
    script = Script({4: ("ask" + " " * 7, "stop"), 15: ("done", "stop")})

    class Patient(Shop):
        def reply(self, task: Task, messages: Sequence[Message]) -> Sequence[Message]:
            return [Message("tool", "42")] if messages[-1].content.startswith("ask") else ()

    (rollout,) = collect(
        Patient(),
        [task("a", "wxyz")],
        script,
        OneTokenAWord(),
        Generation(),
        lambda task, member, turn: 0,
        group_size=1,
        max_turns=2,
    )
    assert rollout.completion_ids == (*range(50, 60), 91, 50, 51, 52, 53)


def test_a_task_drawn_twice_gets_other_seeds() -> None:
    script = Script({4: ("bye", "stop")})
    rollouts = rolled(script, [task("a", "wxyz"), task("b", "wxyz"), task("a", "wxyz")], 1)
    assert [r.task_id for r in rollouts] == ["a", "a", "b", "b", "a", "a"]
    assert script.asked[0][1] == [0, 10, 100, 110, 20, 30]
    assert [r.logprobs[0] for r in rollouts[4:]] == [-20.0, -30.0]


def test_a_truncated_answer_gets_no_reply() -> None:
    script = Script({4: ("ask", "length")})
    rollouts = rolled(script, [task("a", "wxyz")], max_turns=2)
    assert rollouts[0].finish == "length" and len(script.asked) == 1


def test_one_turn_and_a_group_of_one() -> None:
    (rollout,) = rolled(Script({4: ("bye", "stop")}), [task("a", "wxyz")], max_turns=1, group_size=1)
    assert rollout.finish == "stop"
