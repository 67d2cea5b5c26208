"""Constrained decoding with a random model: what no random text is, each answer is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator

from fivestones.environments.json_bounds import bounded_schema
from fivestones.errors import UsageError
from fivestones.models.attention import install
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.train.check import dense_logprobs
from fivestones.train.pack import pack
from fivestones.types import Completion, Generation
from tiny import VOCABULARY, model, sample, tokenizer

END = 258  # <|im_end|>
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "S": {"type": "string"},
        "kind": {"enum": ["billing", "bug"]},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
    },
}
TOKENS = 400
# a token is a byte; of a character there are six at most (\\u....)
BOUND = bounded_schema(SCHEMA, TOKENS // 6)


def made(temperature: float, schema: dict[str, Any] = BOUND, seeds: int = 8) -> tuple[Any, list[Completion]]:
    m = model(vocabulary=VOCABULARY + 5)  # a head with rows that are no token
    install(m)
    sampler = NativeSampler(m, tokenizer(), (END,), slots=8)
    generation = Generation(max_tokens=TOKENS, temperature=temperature, schema=json.dumps(schema))
    return m, sampler.generate([(7, 9, 11)] * seeds, generation, range(seeds))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_answer_keeps_to_the_schema(temperature: float) -> None:
    validator = Draft202012Validator(BOUND)
    _, done = made(temperature)
    assert all(c.finish == "stop" and c.token_ids[-1] == END for c in done)
    answers = [json.loads(c.text) for c in done]
    assert all(validator.is_valid(a) for a in answers)
    assert all(
        c.text == json.dumps(a, separators=(",", ":"), ensure_ascii=False)
        for c, a in zip(done, answers, strict=True)
    )
    if temperature:
        assert len({c.text for c in done}) > 1


def test_without_it_a_random_model_writes_no_json() -> None:
    m = model()
    install(m)
    sampler = NativeSampler(m, tokenizer(), (END,), slots=8)
    for c in sampler.generate([(7, 9, 11)] * 8, Generation(max_tokens=100), range(8)):
        with pytest.raises(ValueError):
            json.loads(c.text)


def test_logprobs_are_of_the_full_softmax() -> None:
    m, done = made(1.0, seeds=2)
    for c in done:
        with torch.no_grad():
            dense = dense_logprobs(m, pack([sample((7, 9, 11), c.token_ids)], 4096)[0])[0]
        assert torch.allclose(torch.tensor(c.logprobs), dense, atol=1e-4)


def test_a_schema_that_cannot_be_followed_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match=r"cannot be followed token by token \(.*warmup.constrained=false"):
        made(1.0, {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=x)y$"}}})
