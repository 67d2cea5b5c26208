"""The model under training on one machine: update with shared prompts, save, load."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fivestones.errors import ModelError
from fivestones.models.allocator import release_memory
from fivestones.models.attention import install
from fivestones.models.load import Loaded, compute_dtype, device_of, load
from fivestones.models.lora import add_lora, merged_state
from fivestones.recipe import ModelPart, TrainPart
from fivestones.train.check import dense_logprobs, disagreement
from fivestones.train.logprobs import chunked_logprobs
from fivestones.train.loss import clipped_loss, k3
from fivestones.train.masters import Masters
from fivestones.train.pack import Row, from_one_prompt, pack
from fivestones.types import Sample

log = logging.getLogger(__name__)
MISMATCH = 0.02  # k3 between sampler and trainer, nats a token: about 0.002 in bfloat16 (docs/experiments.md)
TokenLoss = Callable[[Row, Tensor, Tensor], Tensor]
"""(row, log-probs [S], entropies [S]) -> loss [S] of the counted tokens."""


@dataclass
class _Sums:
    """Sums over the sampled tokens of one update."""

    tokens: int = 0
    entropy: float = 0.0
    clipped: float = 0.0
    mismatch: float = 0.0
    kl: float = 0.0
    row_tokens: int = 0


class TorchPolicy:
    """Full fine-tuning or LoRA; computes in `model.dtype`, keeps float32 masters."""

    def __init__(
        self,
        loaded: Loaded,
        part: ModelPart,
        train: TrainPart,
        *,
        loss_constant: float,
        temperature: float = 1.0,
    ) -> None:
        """loss_constant: what the token-sum loss is divided by (Dr. GRPO, arXiv 2503.20783);
        temperature: of the sampler whose rollouts `update` learns from."""
        self.step = 0
        self.tokenizer = loaded.tokenizer
        self.train_part, self.loss_constant, self.temperature = train, loss_constant, temperature
        self.model, self.folder = loaded.model, loaded.folder
        self.device = device_of(part)
        self.dtype = compute_dtype(part, self.device)
        self.lora = part.lora
        self.model.to(self.device)
        if part.lora:
            add_lora(self.model, part.lora.rank, part.lora.alpha)
        if part.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.masters = Masters(self.model, self.dtype, weight_decay=train.weight_decay)
        install(self.model)
        self.dense = False  # the fallback when shared and dense disagree
        self._checked = False
        self._reference: Any = None

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        part: ModelPart,
        train: TrainPart,
        *,
        loss_constant: float,
        temperature: float = 1.0,
    ) -> TorchPolicy:
        return cls(load(folder), part, train, loss_constant=loss_constant, temperature=temperature)

    def weights(self) -> Any:
        return self.model

    def keep_reference(self) -> None:
        """Freeze the present weights as the reference of the KL term."""
        self._reference = copy.deepcopy(self.model).requires_grad_(False).eval()

    # updates

    def update(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """One GRPO update; metrics are means over the sampled tokens that are learned from: with
        `train.negative_weight` 0 those of successes."""
        part, sums = self.train_part, _Sums()

        def token_loss(row: Row, logprobs: Tensor, entropy: Tensor) -> Tensor:
            old = row.old_logprobs.to(logprobs.device)
            loss, clipped = clipped_loss(
                logprobs, old, row.advantages.to(logprobs.device), part.clip_low, part.clip_high
            )
            sums.tokens += len(old)
            sums.entropy += float(entropy.sum())
            sums.clipped += float(clipped.sum())
            sums.mismatch += float(k3(old, logprobs.detach()).sum())
            if self._reference is not None:
                with torch.no_grad():
                    reference = self._logprobs(self._reference, row, self.temperature)[0]
                penalty = k3(logprobs, reference)
                sums.kl += float(penalty.detach().sum())
                loss = loss + part.kl * penalty
            return loss

        if not samples:  # no contrast anywhere: no gradient, and no step by momentum alone
            self.step += 1
            return {"update_rows": 0.0, "update_tokens": 0.0}
        rows = pack(samples, part.token_budget)
        loss = self._accumulate(rows, token_loss, self.loss_constant, self.temperature)
        n = max(sums.tokens, 1)
        if sums.mismatch / n > MISMATCH:
            log.warning(
                "sampler and trainer differ: k3 %.4f a token (usual: below %.2f); the rollouts do not come "
                "from the weights that are updated",
                sums.mismatch / n,
                MISMATCH,
            )
        lr = part.lr * min(1.0, (self.step + 1) / max(part.warmup_steps, 1))
        norm = self.masters.step(lr, part.grad_clip)
        release_memory()
        self.step += 1
        metrics = {
            "loss": loss,
            "grad_norm": norm,
            "lr": lr,
            "entropy": sums.entropy / n,
            "clipped": sums.clipped / n,
            "mismatch_k3": sums.mismatch / n,
            "update_rows": float(len(rows)),
            "update_tokens": float(sum(r.tokens for r in rows)),
        }
        return metrics | ({"kl": sums.kl / n} if self._reference is not None else {})

    def imitate(self, samples: Sequence[Sample], lr: float) -> Mapping[str, float]:
        """One step of supervised fine-tuning on the completions: mean negative log-likelihood a token."""
        tokens = sum(sum(s.loss_mask) for s in samples)
        rows = pack(from_one_prompt(samples), self.train_part.token_budget)
        loss = self._accumulate(rows, lambda row, logprobs, entropy: -logprobs, tokens)
        norm = self.masters.step(lr, self.train_part.grad_clip)
        release_memory()
        return {"loss": loss, "grad_norm": norm, "lr": lr}

    def _accumulate(
        self, rows: Sequence[Row], token_loss: TokenLoss, constant: float, temperature: float = 1.0
    ) -> float:
        """Backward over all rows of (sum of the sampled tokens' losses) / constant; returns its value."""
        self.model.train()
        if not self._checked:
            self._check(rows)
        total = 0.0
        for row in rows:
            logprobs, entropy = self._logprobs(self.model, row, temperature)
            loss = token_loss(row, logprobs, entropy).sum() / constant
            loss.backward()
            total += float(loss.detach())
        return total

    def _logprobs(self, model: Any, row: Row, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Log-probs and entropies [S] of the row's counted tokens."""
        if self.dense:
            return dense_logprobs(model, row, temperature)
        out = model.get_decoder()(
            input_ids=row.input_ids.to(self.device),
            position_ids=row.layout.position_ids().to(self.device),
            layout=row.layout,
            use_cache=False,
        )
        hidden = out.last_hidden_state[0, row.predicting.to(self.device)]
        head = model.get_output_embeddings().weight
        return chunked_logprobs(hidden, head, row.targets.to(self.device), temperature)

    def _check(self, rows: Sequence[Row]) -> None:
        """Once, on the first row that shares a prompt: shared must equal dense, else fall back to dense."""
        sharing = [r for r in rows if any(s.shared for s in r.layout.segments)]
        if not sharing:
            return
        self._checked, row = True, sharing[-1]  # the longest rows come first
        with torch.no_grad():
            gap = disagreement(self._logprobs(self.model, row)[0], dense_logprobs(self.model, row)[0])
        allowed = 1e-3 if self.dtype == torch.float32 else 0.1
        if gap > allowed:
            self.dense = True
            log.warning(
                "log-probs with the prompt shared differ from the dense ones by %.3f nats a token "
                "(allowed %.3f): training goes on without sharing, slower",
                gap,
                allowed,
            )

    # state

    def save(self, path: Path) -> None:
        """A Hugging Face folder that transformers loads alone, plus `trainer/` for resume. Not atomic by
        itself: `runlog` writes it to a temporary folder and renames."""
        trainer = path / "trainer"
        trainer.mkdir(parents=True)
        self.export(path)
        save_file(self.masters.state(), trainer / "optimizer.safetensors")
        if self.lora:
            adapters = {n: m.contiguous().cpu() for n, m in self.masters.masters.items()}
            save_file(adapters, trainer / "adapter.safetensors")
        (trainer / "state.json").write_text(
            json.dumps({"step": self.step, "dense": self.dense, "checked": self._checked})
        )

    def export(self, path: Path) -> None:
        """The weights alone, float32, adapters merged, in Hugging Face layout."""
        path.mkdir(parents=True, exist_ok=True)
        config = copy.deepcopy(self.model.config)
        config.dtype = torch.float32
        config.save_pretrained(path)
        self.model.generation_config.save_pretrained(path)
        self.tokenizer.save_pretrained(path)
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        exact = {**self._frozen(), **self.masters.masters}
        state = {n: t for n, t in merged_state(self.model, exact).items() if n not in tied}
        state = {n: t.detach().float().contiguous().cpu() for n, t in state.items()}
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})

    def _frozen(self) -> Mapping[str, Tensor]:
        """What LoRA leaves as it was, without the rounding to the compute dtype."""
        if self.lora is None or self.dtype == torch.float32:
            return {}
        weights: Mapping[str, Tensor] = load(self.folder).model.state_dict()
        return weights

    def load(self, path: Path) -> None:
        """Restore what `save` wrote."""
        trainer = path / "trainer"
        try:
            weights = load_file(trainer / "adapter.safetensors" if self.lora else path / "model.safetensors")
            moments = load_file(trainer / "optimizer.safetensors")
            state = json.loads((trainer / "state.json").read_text())
            step, dense, checked = state["step"], state["dense"], state["checked"]
        except (OSError, ValueError, KeyError, SafetensorError) as e:
            raise ModelError(f"{path}: the checkpoint could not be read ({e})") from e
        missing = sorted(set(self.masters.names) - set(weights))
        if missing:
            raise ModelError(f"{path}: the checkpoint lacks {len(missing)} weights, first `{missing[0]}`")
        self.masters.restore(weights, moments)
        self.step, self.dense, self._checked = int(step), bool(dense), bool(checked)
