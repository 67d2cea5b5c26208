"""The policy: gradients of the loss, what is saved loads anywhere, what is loaded goes on exactly."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from fivestones.errors import ModelError
from fivestones.models.load import load
from fivestones.recipe import Lora, ModelPart, TrainPart
from fivestones.train.pack import pack
from fivestones.train.policy import TorchPolicy
from fivestones.types import Sample
from tiny import sample

LORA = Lora(rank=3, alpha=6.0)


def policy(
    family: str = "llama",
    *,
    seed: int = 0,
    lora: Lora | None = None,
    dtype: Any = "float32",
    temperature: float = 1.0,
    checkpointing: bool = False,
    at: Path | None = None,
    **train: Any,
) -> TorchPolicy:
    """at: where the model folder is written that the policy starts from; None: from memory."""
    part = ModelPart(dtype=dtype, lora=lora, gradient_checkpointing=checkpointing)
    settings = TrainPart(**{"lr": 1e-2, "warmup_steps": 1, **train})
    start = load(tiny.folder(at, family, seed=seed)) if at else tiny.loaded(family, seed=seed)
    return TorchPolicy(start, part, settings, loss_constant=50.0, temperature=temperature)


def batch(seed: int = 0) -> list[Sample]:
    """Two groups; the second sample has a masked tool reply in its middle."""
    g = torch.Generator().manual_seed(seed)

    def ids(n: int) -> list[int]:
        return torch.randint(250, (n,), generator=g).tolist()

    a, b = ids(12), ids(5)
    return [
        sample(a, ids(4), advantage=1.0, logprobs=[-4.0] * 4),
        sample(a, ids(6), advantage=-0.5, logprobs=[-5.0] * 6, mask=[True, True, False, False, True, True]),
        sample(b, ids(1), advantage=-1.0, logprobs=[-6.0]),
        sample(b, ids(7), advantage=0.7, logprobs=[-5.5] * 7),
    ]


def masters(p: TorchPolicy) -> dict[str, torch.Tensor]:
    return {n: t.clone() for n, t in p.masters.masters.items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def plain_loss(model: Any, samples: list[Sample], temperature: float = 1.0) -> torch.Tensor:
    """The loss from its definition, by transformers' own attention."""
    total = torch.zeros(())
    for s in samples:
        ids = torch.tensor([[*s.prompt_ids, *s.completion_ids]])
        logits = model(ids, use_cache=False).logits[0, len(s.prompt_ids) - 1 : -1] / temperature
        lp = logits.log_softmax(-1).gather(1, torch.tensor(s.completion_ids)[:, None])[:, 0]
        ratio, a = (lp - torch.tensor(s.logprobs)).exp(), torch.tensor(s.advantages)
        loss = -torch.minimum(ratio * a, ratio.clamp(0.8, 1.28) * a)
        total = total + (loss * torch.tensor(s.loss_mask)).sum()
    return total / 50.0


@pytest.mark.parametrize("budget", [1, 4096])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_update_is_that_of_the_definition(family: str, temperature: float, budget: int) -> None:
    p = policy(family, temperature=temperature, token_budget=budget)
    model = tiny.model(family)
    loss = plain_loss(model, batch(), temperature)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    optimizer.step()
    got = p.update(batch())
    assert got["loss"] == pytest.approx(float(loss.detach()), abs=1e-6, rel=1e-5)
    assert got["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    assert p.step == 1 and not p.dense
    ids = torch.arange(30)[None]
    with torch.no_grad():
        mine = p.model(input_ids=ids, layout=_whole(30), use_cache=False).logits
        # where a gradient is next to zero, Adam's first step is a coin toss
        assert float((mine - model(ids).logits).abs().mean()) < 2e-2


def _whole(n: int) -> Any:
    from fivestones.models.attention import PackedLayout

    return PackedLayout([(n, ())])


def test_golden_metrics() -> None:
    """Pinned: a change of the arithmetic must be meant."""
    got = policy().update(batch())
    assert got["update_tokens"] == 12 + 10 + 5 + 8
    assert got["update_rows"] == 1
    assert got["lr"] == 1e-2
    assert {k: got[k] for k in GOLDEN} == pytest.approx(GOLDEN, abs=1e-5)


GOLDEN = {"loss": 0.0601674, "entropy": 4.9351373, "clipped": 0.125, "mismatch_k3": 0.6818285}


def test_rates_warm_up() -> None:
    p = policy(warmup_steps=4)
    assert [p.update(batch())["lr"] for _ in range(6)] == pytest.approx(
        [2.5e-3, 5e-3, 7.5e-3, 1e-2, 1e-2, 1e-2]
    )


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_checkpointing_and_splitting_change_nothing(lora: Lora | None) -> None:
    plain = policy(lora=lora).update(batch())
    for other in (policy(lora=lora, checkpointing=True), policy(lora=lora, token_budget=1)):
        got = other.update(batch())
        assert got["loss"] == pytest.approx(plain["loss"], abs=1e-6)
        assert got["grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-5)


@pytest.mark.parametrize("begin", [(), (5, 6, 7, 8)], ids=["", "one beginning"])
def test_imitation_is_the_mean_negative_log_likelihood(begin: tuple[int, ...]) -> None:
    p, model, total, tokens = policy(temperature=0.5), tiny.model(), 0.0, 0
    samples = [replace(s, prompt_ids=begin + s.prompt_ids) for s in batch()]
    for s in samples:
        ids = torch.tensor([[*s.prompt_ids, *s.completion_ids]])
        lp = model(ids).logits[0, len(s.prompt_ids) - 1 : -1].log_softmax(-1)
        picked = lp.gather(1, torch.tensor(s.completion_ids)[:, None])[:, 0][torch.tensor(s.loss_mask)]
        total, tokens = total - float(picked.detach().sum()), tokens + len(picked)
    assert p.imitate(samples, 1e-2)["loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert not p.dense
    losses = [p.imitate(samples, 1e-2)["loss"] for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_kl_term_starts_at_zero_and_pulls_back() -> None:
    free, held = policy(), policy(kl=5.0)
    held.keep_reference()
    first = held.update(batch())
    assert first["kl"] == pytest.approx(0.0, abs=1e-6)
    assert first["loss"] == pytest.approx(free.update(batch())["loss"], abs=1e-6)
    for _ in range(8):
        free.update(batch())
        last = held.update(batch())
    start = masters(policy())

    def moved(p: TorchPolicy) -> float:
        return sum(float((t - start[n]).square().sum()) for n, t in masters(p).items())

    assert last["kl"] > 0 and moved(held) < moved(free)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_transformers_loads_what_was_saved(tmp_path: Path, family: str, lora: Lora | None) -> None:
    p = policy(family, lora=lora)
    for i in range(3):
        p.update(batch(i))
    p.save(tmp_path / "saved")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        mine = p.model(input_ids=ids, layout=_whole(40), use_cache=False).logits
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)
        assert torch.allclose(theirs(ids).logits, mine, atol=1e-4)
        assert torch.equal(load(tmp_path / "saved").model(ids).logits, theirs(ids).logits)
        start = tiny.model(family)(ids).logits
    assert float((mine - start).abs().max()) > 0.1  # it did learn
    text = "Hi <|im_end|>"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer(text)["input_ids"] == tiny.tokenizer()(text)["input_ids"]
    assert tokenizer.chat_template == tiny.CHATML
    names = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(names) == set(tiny.model(family).state_dict()) - {"lm_head.weight"}
    assert {t.dtype for t in names.values()} == {torch.float32}


ALONE = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
ids = AutoTokenizer.from_pretrained(sys.argv[1])("Hello", return_tensors="pt")["input_ids"]
torch.save(model(ids).logits.detach(), sys.argv[2])
assert "fivestones" not in sys.modules
"""


def test_transformers_needs_nothing_of_ours(tmp_path: Path) -> None:
    p = policy()
    p.update(batch())
    p.save(tmp_path / "saved")
    out = tmp_path / "logits.pt"
    # -I: without this folder and PYTHONPATH on the path
    subprocess.run([sys.executable, "-I", "-c", ALONE, tmp_path / "saved", out], check=True)
    ids = tiny.tokenizer()("Hello", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        mine = p.model(input_ids=ids, layout=_whole(ids.shape[1]), use_cache=False).logits
    assert torch.allclose(torch.load(out), mine, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_loaded_checkpoint_goes_on_bit_for_bit(tmp_path: Path, lora: Lora | None, dtype: Any) -> None:
    straight = policy(lora=lora, dtype=dtype, at=tmp_path / "start")
    for i in range(3):
        straight.update(batch(i))
    straight.save(tmp_path / "saved")
    resumed = policy(lora=lora, dtype=dtype, at=tmp_path / "start")
    resumed.update(batch(8))  # forgotten by the load
    resumed.load(tmp_path / "saved")
    assert resumed.step == 3
    assert equal(masters(straight), masters(resumed))
    for i in range(3, 5):
        assert straight.update(batch(i)) == resumed.update(batch(i))
    assert equal(masters(straight), masters(resumed))
    params = dict(resumed.model.named_parameters())
    assert all(torch.equal(q, params[n]) for n, q in straight.model.named_parameters())


def test_what_lora_leaves_alone_is_exported_unrounded(tmp_path: Path) -> None:
    p = policy(lora=LORA, dtype="bfloat16", at=tmp_path / "start")
    p.update(batch())
    p.export(tmp_path / "out")
    start, out = (load_file(tmp_path / name / "model.safetensors") for name in ("start", "out"))
    embedding = "model.embed_tokens.weight"
    assert torch.equal(start[embedding], out[embedding])
    assert not torch.equal(start[embedding], start[embedding].bfloat16().float())
    name = "model.layers.0.mlp.up_proj"
    exact = masters(p)
    a, b = (exact[f"{name}.lora_{x}.default.weight"] for x in "AB")
    assert torch.equal(out[f"{name}.weight"], start[f"{name}.weight"] + (b @ a) * (LORA.alpha / LORA.rank))


def test_the_check_waits_for_a_shared_prompt() -> None:
    p = policy()
    p.imitate(batch()[:1], 1e-3)
    assert not p._checked  # nothing was shared, nothing was checked
    p.update(batch())
    assert p._checked


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (1.0, True)])
def test_a_sampler_of_other_weights_is_told(
    shift: float, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    p, s = policy(), batch()[0]
    with torch.no_grad():
        own = p._logprobs(p.model, pack([s], 4096)[0])[0]
    p.update([replace(s, logprobs=tuple((own - shift).tolist()))])
    assert ("sampler and trainer differ" in caplog.text) == told


def test_adapters_start_the_same_in_every_process() -> None:
    """A run that is killed before its first checkpoint builds them again."""
    first = masters(policy(lora=LORA))
    torch.manual_seed(99)
    torch.rand(5)
    assert equal(first, masters(policy(lora=LORA)))
    a = next(t for n, t in first.items() if "lora_A" in n)
    assert float(a.abs().max()) > 0 and all(not t.any() for n, t in first.items() if "lora_B" in n)


def test_bfloat16_computes_on_rounded_masters(tmp_path: Path) -> None:
    p = policy(dtype="bfloat16")
    assert {q.dtype for q in p.model.parameters()} == {torch.bfloat16}
    assert p.model.model.rotary_emb.inv_freq.dtype == torch.float32
    p.update(batch())
    params = dict(p.model.named_parameters())
    for name, master in p.masters.masters.items():
        assert master.dtype == torch.float32
        assert torch.equal(master.bfloat16(), params[name])
    p.save(tmp_path / "saved")
    assert equal(load_file(tmp_path / "saved" / "model.safetensors"), masters(p))  # not the rounded ones


def test_an_update_without_samples(tmp_path: Path) -> None:
    p = policy()
    before = masters(p)
    assert p.update([])["update_rows"] == 0.0 and p.step == 1
    assert equal(before, masters(p))


def test_damaged_checkpoints(tmp_path: Path) -> None:
    p = policy()
    p.update(batch())
    p.save(tmp_path / "a")
    for name in ("model.safetensors", "trainer/optimizer.safetensors", "trainer/state.json"):
        whole = (tmp_path / "a" / name).read_bytes()
        (tmp_path / "a" / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelError, match="checkpoint could not be read"):
            p.load(tmp_path / "a")
        (tmp_path / "a" / name).write_bytes(whole)
    p.load(tmp_path / "a")
    state = json.loads((tmp_path / "a" / "trainer" / "state.json").read_text())
    assert state["step"] == 1
    with pytest.raises(ModelError):
        policy(lora=LORA).load(tmp_path / "a")


def test_a_disagreement_falls_back_to_dense(caplog: pytest.LogCaptureFixture) -> None:
    """A layer that mixes neighbouring positions is wrong on a packed row: the first step's check sees it."""
    p, honest = policy(), policy()
    for q in (p, honest):
        layer = q.model.model.layers[0].mlp
        plain = layer.forward

        def mixing(x: torch.Tensor, plain: Any = plain) -> Any:
            return plain(x + 0.5 * torch.cat([x[:, :1], x[:, :-1]], dim=1))

        layer.forward = mixing
    honest.dense = honest._checked = True
    with caplog.at_level(logging.WARNING):
        got = p.update(copy.deepcopy(batch()))
    assert p.dense and "without sharing" in caplog.text
    assert got == honest.update(batch())
