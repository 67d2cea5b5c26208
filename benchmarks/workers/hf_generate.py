"""Rollouts by transformers' own `generate`, as TRL calls it by default: prompts repeated, dynamic cache.

Settings: {folder, device, dtype}. Requests: {prompts [B][P], group, new, seed}; no token ends a completion.
"""

from __future__ import annotations

import time

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig
from wire import Line, peak_memory, settings


def main() -> None:
    line, have = Line(), settings()
    device = torch.device(have["device"])
    model = AutoModelForCausalLM.from_pretrained(
        have["folder"], dtype=getattr(torch, have["dtype"]), local_files_only=True
    )
    model = model.to(device).eval()
    pad = model.generation_config.pad_token_id
    model.generation_config.eos_token_id = None
    line.send(torch=torch.__version__, transformers=transformers.__version__, threads=torch.get_num_threads())
    while True:
        ask = line.next()
        torch.manual_seed(ask["seed"])
        ids = torch.tensor([p for p in ask["prompts"] for _ in range(ask["group"])], device=device)
        config = GenerationConfig(
            max_new_tokens=ask["new"], do_sample=True, temperature=1.0, top_k=0, top_p=1.0, pad_token_id=pad
        )
        start = time.perf_counter()
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        if out.shape[1] != ids.shape[1] + ask["new"]:
            raise RuntimeError(f"{out.shape[1] - ids.shape[1]} new tokens, asked for {ask['new']}")
        line.send(seconds=seconds, peak_memory=peak_memory())


if __name__ == "__main__":
    main()
