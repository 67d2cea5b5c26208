"""GRPO steps by TRL's `GRPOTrainer`; each step waits for the benchmark's request.

Settings: {folder, device, dtype, weights, prompts [steps * B] texts, length, tasks, group, new, micro_batch}.
A step is timed from its beginning to its end: generation, reward, forward and backward, optimizer.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from wire import Line, peak_memory, settings

LR = 1e-6


class Pace(TrainerCallback):  # type: ignore[misc]
    """Begins a step on request and answers with its seconds."""

    def __init__(self, line: Line, tokens: int) -> None:
        """tokens: prompt and completion tokens that a step must have seen."""
        self.line, self.tokens = line, tokens
        self.start = self.rewarded = 0.0
        self.seen = 0

    def reward(self, completions: list[str], **_: Any) -> list[float]:
        """Cheap and different for each text: the share of the letter e."""
        self.rewarded = self.clock()
        return [text.count("e") / max(len(text), 1) for text in completions]

    def clock(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.line.next()
        self.start = self.clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        seconds, rolled = self.clock() - self.start, self.rewarded - self.start
        seen, self.seen = int(state.num_input_tokens_seen) - self.seen, int(state.num_input_tokens_seen)
        if seen != self.tokens:
            raise RuntimeError(
                f"a step of {seen} tokens, wanted {self.tokens}: another prompt or answer length"
            )
        self.line.send(
            seconds=seconds,
            rollout_seconds=rolled,
            update_seconds=seconds - rolled,
            peak_memory=peak_memory(),
        )


def main() -> None:
    line, have = Line(), settings()
    rollouts = have["tasks"] * have["group"]
    micro = have["micro_batch"]
    if rollouts % micro:
        raise ValueError(f"{rollouts} rollouts a step are not a multiple of micro-batches of {micro}")
    pace = Pace(line, rollouts * (have["length"] + have["new"]))
    model = AutoModelForCausalLM.from_pretrained(
        have["folder"], dtype=getattr(torch, have["weights"]), local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(have["folder"], local_files_only=True)
    with tempfile.TemporaryDirectory() as folder:
        config = trl.GRPOConfig(
            output_dir=folder,
            use_cpu=have["device"] == "cpu",
            bf16=have["dtype"] == "bfloat16",
            gradient_checkpointing=False,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=rollouts // micro,
            num_generations=have["group"],
            max_completion_length=have["new"],
            generation_kwargs={"min_new_tokens": have["new"]},  # no end token before
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            beta=0.0,
            num_iterations=1,
            learning_rate=LR,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            max_steps=len(have["prompts"]) // have["tasks"],
            shuffle_dataset=False,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            seed=0,
        )
        trainer = trl.GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=pace.reward,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": have["prompts"]}),
            callbacks=[pace],
        )
        line.send(
            torch=torch.__version__,
            transformers=transformers.__version__,
            trl=trl.__version__,
            threads=torch.get_num_threads(),
            peak_memory=peak_memory(),
        )
        trainer.train()


if __name__ == "__main__":
    main()
