"""Low-rank adapters through PEFT, inside the unmodified model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

ADAPTER = "default"


def add_lora(model: Any, rank: int, alpha: float) -> None:
    """Adapters on all linear layers but the head; everything else is frozen. The same start in every process:
    a resumed run may have to build it again."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type] # any number works
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    generator = torch.Generator().manual_seed(0)
    for name, param in model.named_parameters():
        param.requires_grad_("lora_" in name)
        if "lora_A" in name:  # PEFT's own initialisation, from a generator of ours
            start = torch.empty(param.shape)
            torch.nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=generator)
            param.data.copy_(start)


@torch.no_grad()
def merged_state(model: Any, exact: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's state under its original names, adapters merged in. exact: float32 values of adapters (by
    the name in the model) and of weights (by the original name), in place of what the model rounded."""
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            continue
        original = name.replace(".base_layer.", ".")
        state[original] = exact.get(name, exact.get(original, value))
    for name, module in model.named_modules():
        if hasattr(module, "lora_A") and ADAPTER in module.lora_A:
            a = exact[f"{name}.lora_A.{ADAPTER}.weight"].float()
            b = exact[f"{name}.lora_B.{ADAPTER}.weight"].float()
            delta = (b @ a) * module.scaling[ADAPTER]
            state[f"{name}.weight"] = state[f"{name}.weight"].float() + delta
    return state
