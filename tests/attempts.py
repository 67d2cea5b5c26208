"""A scored attempt, for tests of what reads its text."""

from __future__ import annotations

from fivestones.types import Finish, Message, Rollout, Task


def rollout(task: Task, text: str, finish: Finish = "stop") -> Rollout:
    """One turn that answered `text`."""
    return Rollout(
        task_id=task.id,
        messages=(*task.prompt, Message("assistant", text)),
        prompt_messages=len(task.prompt),
        prompt_ids=(1,),
        completion_ids=(2,),
        loss_mask=(True,),
        logprobs=(-1.0,),
        finish=finish,
        policy_version=0,
    )
