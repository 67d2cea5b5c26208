"""Rollouts by vLLM, in process, with its default compilation and prefix caching; no log-probs asked for.

Settings: {folder, dtype, max_tokens, sequences, kv_gib}. Requests: {prompts [B][P], group, new, seed}; no
token ends a completion.
"""

from __future__ import annotations

import os
import time

from wire import Line, peak_memory, settings


def main() -> None:
    line, have = Line(), settings()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = (
        "0"  # the engine in this process, as a trainer would use it
    )
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(have["kv_gib"])
    start = time.perf_counter()
    import torch
    import vllm

    llm = vllm.LLM(
        model=have["folder"],
        dtype=have["dtype"],
        max_model_len=have["max_tokens"],
        max_num_seqs=have["sequences"],
        generation_config="vllm",  # nothing of the model's own sampling settings
        seed=0,
    )
    line.send(
        torch=torch.__version__,
        vllm=vllm.__version__,
        threads=torch.get_num_threads(),
        start_seconds=time.perf_counter() - start,
    )
    while True:
        ask = line.next()
        params = vllm.SamplingParams(
            n=ask["group"], temperature=1.0, max_tokens=ask["new"], ignore_eos=True, seed=None
        )
        prompts = [{"prompt_token_ids": p} for p in ask["prompts"]]
        start = time.perf_counter()
        out = llm.generate(prompts, params, use_tqdm=False)
        seconds = time.perf_counter() - start
        lengths = {len(c.token_ids) for r in out for c in r.outputs}
        if lengths != {ask["new"]}:
            raise RuntimeError(f"completions of {sorted(lengths)} tokens, asked for {ask['new']}")
        line.send(seconds=seconds, peak_memory=peak_memory())


if __name__ == "__main__":
    main()
