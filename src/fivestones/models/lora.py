"""Low-rank adapters through PEFT, inside the unmodified model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

ADAPTER = "default"


def add_lora(model: Any, rank: int, alpha: float) -> None:
    """Adapters on all linear layers but the head; everything else is frozen."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for name, param in model.named_parameters():
        param.requires_grad_("lora_" in name)


@torch.no_grad()
def merged_state(model: Any, masters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's state under its original names, masters in place of rounded weights, adapters merged in."""
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            continue
        state[name.replace(".base_layer.", ".")] = masters.get(name, value)
    for name, module in model.named_modules():
        if hasattr(module, "lora_A") and ADAPTER in module.lora_A:
            a = masters[f"{name}.lora_A.{ADAPTER}.weight"].float()
            b = masters[f"{name}.lora_B.{ADAPTER}.weight"].float()
            delta = (b @ a) * module.scaling[ADAPTER]
            state[f"{name}.weight"] = state[f"{name}.weight"].float() + delta
    return state
