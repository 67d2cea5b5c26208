"""What a recipe will take: seconds by stage, bytes of memory and disk, before anything runs.

Parameters N, layers L, hidden size d, prompt tokens P, completion tokens C, B tasks of G rollouts a step:
forward 2 N FLOPs a token + 2 L d P^2 a prompt; update three times that; each prompt computed once a group.
The shares of the machine's matrix-product rate that eager PyTorch reaches were measured on two CPU cores with
bf16 (docs/experiments.md): good to about a factor of two. `doctor` replaces them by what it measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fivestones.machine import MOST
from fivestones.recipe import Recipe

UPDATE_SHARE = 0.22  # of the measured matrix-product rate: forward + backward
PREFILL_SHARE = 0.3
DECODE_SHARE = 0.03  # at 32 sequences; one token a step reads all the weights
SYNTH_SECONDS = 0.012  # a row, generation and deduplication, one worker
WORDS = {"short": 220, "long": 1050}  # of a dialogue
TOKENS_A_WORD = 1.4
INSTRUCTIONS = 120  # tokens of the system message and the chat template
QUESTION = 260  # tokens of a question about tables, with the tools in words
TURNS = 6  # assistant turns of an episode with tools, where so many are allowed
HEARD = 80  # tokens of a tool's reply
CHATS = 128  # that an evaluation has open at once
KEPT = 3 << 29  # bytes of open chats that the sampler keeps at most on a CPU
FILLED = 0.6  # mean completion as a share of generation.max_tokens
RUNTIME_BYTES = 700 << 20  # torch, transformers and the process itself
HELD = 1.6  # what a CPU's heap comes to hold of what comes and goes with one step, as a multiple of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # the head is the embedding

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelSize:
        """From a Hugging Face `config.json`. Raises KeyError when it is no decoder's."""
        heads = int(config["num_attention_heads"])
        return cls(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            feed_forward=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
        )

    @property
    def parameters(self) -> int:
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        layer = attention + 3 * self.hidden * self.feed_forward + 2 * self.hidden
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return tables + self.layers * layer + self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Of the recipe's data."""

    train: int
    test: int
    prompt: float  # tokens, mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """FLOP/s that this machine reaches in each part of the work."""

    update: float
    prefill: float
    decode: float  # with any number of sequences; a step costs about the same up to 16, then grows with them

    @classmethod
    def assumed(cls, flops: float) -> Rates:
        """flops: FLOP/s of a matrix product in the dtype of the recipe, on its device."""
        return cls(
            update=UPDATE_SHARE * flops, prefill=PREFILL_SHARE * flops, decode=DECODE_SHARE * 1.5 * flops
        )

    def decode_at(self, sequences: int) -> float:
        return self.decode * sequences / (sequences + 16)

    @classmethod
    def measured(
        cls, size: ModelSize, *, prefill: Measured, decode: Measured, update: Measured, sequences: int
    ) -> Rates:
        return cls(
            update=3 * update.flops(size),
            prefill=prefill.flops(size),
            decode=decode.flops(size) * (sequences + 16) / sequences,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A forward pass over `tokens`, with `prompts` prompts of `prompt` tokens that attend to themselves."""

    tokens: int
    seconds: float
    prompts: int = 0
    prompt: float = 0.0

    def flops(self, size: ModelSize) -> float:
        return forward(size, self.tokens, self.prompts, self.prompt) / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    seconds: Mapping[str, float]  # stage -> seconds
    memory: int  # bytes at the peak
    disk: int  # bytes that the run directory and the model cache take

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def synth_rows(recipe: Recipe) -> Rows | None:
    """None when the recipe brings its data: its rows have to be looked at."""
    if world := recipe.world:
        finqa = recipe.environment.finqa
        by_val = finqa is not None and finqa.tested == "val"
        tested = world.val + world.multi_val if by_val else world.test + world.multi_test
        return Rows(train=world.train, test=tested, prompt=QUESTION)
    if recipe.synth is None:
        return None
    prompt = WORDS[recipe.synth.length] * TOKENS_A_WORD + INSTRUCTIONS
    return Rows(train=recipe.synth.train, test=recipe.synth.test, prompt=prompt)


def cost(recipe: Recipe, size: ModelSize, rows: Rows, rates: Rates, held: float = HELD) -> Cost:
    return Cost(
        seconds=seconds(recipe, size, rows, rates),
        memory=memory(recipe, size, rows, held),
        disk=disk(recipe, size, rows),
    )


def forward(size: ModelSize, tokens: float, prompts: float, length: float) -> float:
    """FLOPs of `tokens` in all, with `prompts` prompts of `length` attending to themselves."""
    return 2 * size.parameters * tokens + prompts * 2 * size.layers * size.hidden * length**2


def seconds(recipe: Recipe, size: ModelSize, rows: Rows, rates: Rates) -> dict[str, float]:
    prompt = rows.prompt
    turns, heard = _turns(recipe)
    done = FILLED * recipe.generation.max_tokens
    said, episode = turns * done, turns * done + heard

    def decode(tokens: float, slots: int) -> float:
        return forward(size, tokens, 0, 0) / rates.decode_at(slots)

    def imitate(passes: int) -> float:
        count = recipe.warmup.references * passes
        return 3 * forward(size, count * (prompt + episode), count, prompt) / rates.update

    def hear(rollouts: float) -> float:
        """Replies are computed once: what was before them is kept."""
        return forward(size, rollouts * heard, 0, 0) / rates.prefill

    def answer(tasks: int, length: float) -> float:
        prefill = forward(size, tasks * length, tasks, length) / rates.prefill
        return prefill + hear(tasks) + decode(tasks * said, recipe.evaluate.slots)

    tasks = recipe.train.tasks_per_step
    rollouts = tasks * recipe.rollout.group_size
    step = (
        forward(size, tasks * prompt, tasks, prompt) / rates.prefill
        + hear(rollouts)
        + decode(rollouts * said, recipe.rollout.slots)
        + 3 * forward(size, tasks * prompt + rollouts * episode, tasks, prompt) / rates.update
    )
    tested = min(recipe.evaluate.tasks or rows.test, rows.test)
    evaluate = 0.0
    for name in recipe.evaluate.contestants:
        shown = 1 + (recipe.evaluate.examples if name == "base_examples" else 0)
        evaluate += answer(tested, prompt * shown)
        evaluate += imitate(recipe.evaluate.imitation_passes) if name == "imitation" else 0.0
    made = rows.train + rows.test if recipe.synth else 0
    unknown = recipe.synth is not None and recipe.synth.teacher is not None  # a preview measures it
    return {
        **({} if unknown else {"synthesis": made * SYNTH_SECONDS}),
        "warm-up": 0.0 if recipe.warmup.kind == "none" else imitate(recipe.warmup.passes),
        "training": recipe.train.steps * step,
        "evaluation": evaluate,
    }


def _turns(recipe: Recipe) -> tuple[int, int]:
    """Assistant turns of an episode, and the tokens of all replies to them."""
    turns = min(recipe.environment.max_turns, TURNS)
    return turns, turns * HEARD if turns > 1 else 0


def _longest(recipe: Recipe) -> int:
    """Tokens of an episode behind its prompt, each turn as long as it may be."""
    turns, heard = _turns(recipe)
    return turns * recipe.generation.max_tokens + heard


def memory(recipe: Recipe, size: ModelSize, rows: Rows, held: float = HELD) -> int:
    """Bytes at the peak of a run. held: 1 for a GPU, whose allocator was not measured."""
    training = _grown(_standing(recipe, size), _passing(recipe, size, rows), held)
    return max(_loading(size), training, _evaluation(recipe, size, rows, held))


def memory_after(step: int, recipe: Recipe, size: ModelSize, rows: Rows) -> int:
    """Bytes at the peak of a run on a CPU. step: at the peak of loading and one step of it, measured."""
    standing = _standing(recipe, size)
    # what a step adds shows only where it is more than loading took (with LoRA it may not be)
    passing = max(0, step - standing) if step > _loading(size) else _passing(recipe, size, rows)
    return max(step, _grown(standing, passing), _evaluation(recipe, size, rows))


def _loading(size: ModelSize) -> int:
    """The weights as they come, in float32, and in bf16."""
    return RUNTIME_BYTES + 6 * size.parameters


def _standing(recipe: Recipe, size: ModelSize) -> int:
    """What stays through training: the weights in bf16, of the trained ones float32 masters, gradients and
    two moments too; of a KL term its reference. Adapters are small beside them."""
    copies = 2 + (0 if recipe.model.lora else 16) + (2 if recipe.train.kl else 0)
    return RUNTIME_BYTES + copies * size.parameters


def _passing(recipe: Recipe, size: ModelSize, rows: Rows) -> int:
    """What comes and goes with one packed row, or with the caches of the rollouts."""
    longest = 2 * rows.prompt + recipe.rollout.group_size * _longest(recipe)
    tokens = min(recipe.train.token_budget, longest)
    kept = 12 * size.hidden + 8 * size.feed_forward  # bytes a token and layer, bf16
    if recipe.model.gradient_checkpointing:
        activations = tokens * (size.layers * 2 * size.hidden + kept)
    else:
        activations = tokens * size.layers * kept
    tables = 2 * 2 * size.vocabulary * size.hidden  # bf16 gradients of embedding and head
    prompts = recipe.rollout.slots / recipe.rollout.group_size
    rollouts = prompts * rows.prompt + recipe.rollout.slots * _longest(recipe)
    update = activations + (0 if recipe.model.lora else tables)
    return int(max(update, rollouts * cache_entry(size) + _kept(recipe, size, rows)))


def _evaluation(recipe: Recipe, size: ModelSize, rows: Rows, held: float = HELD) -> int:
    """Each sequence has a prompt of its own; the weights are there in float32, bf16 and as the kernel reads
    them."""
    slots = min(recipe.evaluate.slots, recipe.evaluate.tasks or rows.test, rows.test)
    cached = slots * (rows.prompt + _longest(recipe)) * cache_entry(size) + _kept(recipe, size, rows)
    return _grown(RUNTIME_BYTES + 8 * size.parameters, cached, held)


def _kept(recipe: Recipe, size: ModelSize, rows: Rows) -> int:
    """Bytes of open chats whose keys and values wait for the next turn."""
    if recipe.environment.max_turns == 1:
        return 0
    open_chats = max(recipe.train.tasks_per_step * recipe.rollout.group_size, CHATS)
    return min(KEPT, int(open_chats * (rows.prompt + _longest(recipe)) * cache_entry(size)))


def _grown(standing: float, passing: float, held: float = HELD) -> int:
    """The heap grows while tensors of ever new lengths come and go, until it gives its free pages back."""
    return int(standing + max(passing, min(held * passing, MOST - standing)))


def cache_entry(size: ModelSize) -> int:
    """Bytes of keys and values a token, bf16."""
    return 4 * size.layers * size.kv_heads * size.head_dim


def disk(recipe: Recipe, size: ModelSize, rows: Rows) -> int:
    n = size.parameters
    # weights, two moments and the warm start, once more while a checkpoint is being replaced
    checkpoints = (recipe.train.keep_checkpoints + 1) * 12 * n + 2 * 4 * n
    rollouts = recipe.train.steps * recipe.train.tasks_per_step * recipe.rollout.group_size
    text = int(4 * rows.prompt) * (rows.train + rows.test) * 3
    return checkpoints + 4 * n + text + (rollouts * 40 * _longest(recipe) if recipe.train.log_rollouts else 0)
