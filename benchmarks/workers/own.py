"""fivestones: rollouts, updates and whole steps, timed in a process of its own.

Settings: {folder, device, token_budget, slots, dense}. Requests: {do: rollout | update | step, prompts
[B][P], group, new, seed}; no token ends a completion early.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from wire import Line, peak_memory, settings

from fivestones.models.allocator import keep_memory
from fivestones.models.load import load
from fivestones.recipe import ModelPart, TrainPart
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.train.policy import TorchPolicy
from fivestones.types import Completion, Generation, Sample

LR = 1e-6  # hardly moves the weights: every repeat meets the same model


class Own:
    def __init__(
        self, folder: str, *, device: str, token_budget: int, slots: int, dense: bool = False
    ) -> None:
        part = ModelPart(source=folder, device=device)
        train = TrainPart(token_budget=token_budget, lr=LR)
        self.policy = TorchPolicy(load(Path(folder)), part, train, loss_constant=1000.0)
        self.policy.dense = dense
        self.sampler = NativeSampler(self.policy.model, self.policy.tokenizer, (), slots=slots)

    def rollout(self, prompts: Sequence[Sequence[int]], group: int, new: int, seed: int) -> list[Completion]:
        self.sampler.sync(self.policy.weights(), self.policy.step)
        rows = [tuple(p) for p in prompts for _ in range(group)]
        seeds = [seed * 1_000_003 + i for i in range(len(rows))]
        done = self.sampler.generate(rows, Generation(max_tokens=new), seeds)
        if any(len(c.token_ids) != new for c in done):
            raise RuntimeError(f"a completion has not the {new} tokens that were asked for")
        return done

    def update(self, samples: Sequence[Sample]) -> dict[str, float]:
        metrics = self.policy.update(samples)
        return {"packed_tokens": metrics["update_tokens"], "packed_rows": metrics["update_rows"]}


def graded(
    prompts: Sequence[Sequence[int]], group: int, done: Sequence[Completion], rewards: Sequence[float]
) -> list[Sample]:
    """Rewards -> advantages: each group's own mean and standard deviation."""
    by_group = np.asarray(rewards).reshape(-1, group)
    centered = by_group - by_group.mean(1, keepdims=True)
    advantages = (centered / (by_group.std(1, keepdims=True) + 1e-4)).ravel()
    return [
        Sample(
            task_id=str(i // group),
            prompt_ids=tuple(prompts[i // group]),
            completion_ids=c.token_ids,
            loss_mask=(True,) * len(c.token_ids),
            logprobs=c.logprobs,
            advantages=(float(a),) * len(c.token_ids),
        )
        for i, (c, a) in enumerate(zip(done, advantages, strict=True))
    ]


def made_up(prompts: Sequence[Sequence[int]], group: int, new: int, seed: int) -> list[Sample]:
    """An update's samples without rollouts: random tokens, random rewards."""
    rng = np.random.default_rng(seed)
    count = len(prompts) * group
    rows = rng.integers(1000, 40_000, (count, new)).tolist()
    done = [Completion(text="", token_ids=tuple(r), logprobs=(-11.0,) * new, finish="length") for r in rows]
    return graded(prompts, group, done, rng.standard_normal(count).tolist())


def reward(text: str) -> float:
    """Cheap and different for each text: the share of the letter e."""
    return text.count("e") / max(len(text), 1)


def main() -> None:
    keep_memory()  # as every run does
    line, own = Line(), Own(**settings())
    device = own.policy.device

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def answer(ask: dict[str, Any]) -> dict[str, Any]:
        prompts, group, new, seed = ask["prompts"], ask["group"], ask["new"], ask["seed"]
        if ask["do"] == "update":
            samples = made_up(prompts, group, new, seed)
            start = clock()
            extra = own.update(samples)
            return {"seconds": clock() - start, **extra}
        start = clock()
        done = own.rollout(prompts, group, new, seed)
        rolled = clock() - start
        if ask["do"] == "rollout":
            return {"seconds": rolled}
        samples = graded(prompts, group, done, [reward(c.text) for c in done])
        extra = own.update(samples)
        seconds = clock() - start
        return {"seconds": seconds, "rollout_seconds": rolled, "update_seconds": seconds - rolled, **extra}

    line.send(
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        dtype=str(own.policy.dtype).removeprefix("torch."),
        peak_memory=peak_memory(),
    )
    while True:
        result = answer(line.next())
        if device.type == "cuda":
            result["peak_device_memory"] = torch.cuda.max_memory_allocated()
        line.send(**result, peak_memory=peak_memory(), dense=own.policy.dense)


if __name__ == "__main__":
    main()
