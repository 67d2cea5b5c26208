"""Audits of judges whose faults are known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from audited import REFERENCE, Judged, Partial, case, cases, perfect, quality

from fivestones.audit import AuditSettings, audit, words
from fivestones.audit.cases import in_half
from fivestones.chat import Usage
from fivestones.errors import DataError, UsageError
from fivestones.protocols import Judge
from fivestones.score.facts import FactsJudge, Lexicon
from fivestones.types import Concept, Task

QUICK = AuditSettings(draws=100)
CASES = cases()


def audited(judge: Judge, settings: AuditSettings = QUICK, **more: Any) -> dict[str, Any]:
    return audit(judge, more.pop("cases", CASES), settings, name="test", **more)


def test_a_perfect_judge_and_the_form_of_the_answer() -> None:
    found = audited(perfect())
    assert (found["judge"], found["half"], found["n"], found["dialogues"]) == ("test", "all", 96, 24)
    assert found["pearson"]["FactualF1"]["value"] == pytest.approx(1.0)
    assert found["spearman"]["FactualF1"]["value"] == pytest.approx(1.0)
    assert found["spearman"]["HallucinationRate"]["value"] < -0.5  # more is worse
    assert set(found["pearson"]["FactualF1"]) == {"value", "low", "high", "n", "clusters"}
    assert found["auroc"]["any_hallucination"]["value"] == 1.0
    for what in ("kappa", "sensitivity", "specificity"):
        assert found[what]["any_hallucination"]["value"] > 0.7  # the threshold is that of the other half
    assert all(0.15 < cut < 0.3 for cut in found["threshold"]["any_hallucination"])
    assert found["about"] == {"FactualF1": "overall", "HallucinationRate": "overall"}
    rouge = found["baselines"]["rouge1_f"]
    assert set(rouge) >= {"pearson", "spearman", "auroc", "kappa", "sensitivity", "specificity"}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_judge_that_knows_nothing() -> None:
    rng = np.random.default_rng(5)
    found = audited(Judged(lambda task, output: float(rng.random())))
    assert found["pearson"]["FactualF1"]["low"] < 0 < found["pearson"]["FactualF1"]["high"]
    assert found["auroc"]["any_hallucination"]["low"] < 0.5 < found["auroc"]["any_hallucination"]["high"]
    assert found["consistency"]["identical"]["value"] == 0.0
    assert found["consistency"]["sd"]["value"] > 0.15


def test_a_constant_judge_is_unknown_and_not_zero() -> None:
    found = audited(Judged(lambda task, output: 0.5))
    assert found["pearson"] == found["spearman"] == {"FactualF1": None, "HallucinationRate": None}
    assert found["auroc"]["any_hallucination"]["value"] == 0.5
    assert found["kappa"]["any_hallucination"] is None and found["threshold"]["any_hallucination"] == []
    assert found["consistency"]["identical"]["value"] == 1.0


def test_constant_people_are_unknown() -> None:
    same = [replace(c, human={"FactualF1": 0.5, "HallucinationRate": 0.0}) for c in CASES]
    found = audited(perfect(), cases=same)
    assert found["pearson"]["FactualF1"] is None and found["auroc"]["any_hallucination"] is None
    assert found["sensitivity"]["any_hallucination"] is None


def test_tiny_files_say_little() -> None:
    found = audited(perfect(), cases=CASES[:1])
    assert found["n"] == 1 and found["pearson"]["FactualF1"] is None
    assert audited(perfect(), cases=CASES[:4])["pearson"]["FactualF1"]["low"] is None  # one dialogue


def test_what_is_unscored_is_counted_with_its_cause() -> None:
    found = audited(Judged(lambda task, output: None if quality(output) < 0.5 else quality(output)))
    assert found["unscored"] == {"n": 48, "causes": {"timeout": 48}}
    assert found["pearson"]["FactualF1"]["n"] == 48
    nothing = audited(Judged(lambda task, output: None))
    assert nothing["unscored"]["n"] == 96 and nothing["pearson"]["FactualF1"] is None
    assert nothing["order"]["group"] is None and nothing["consistency"]["identical"] is None


def test_halves() -> None:
    tune, report = (audited(perfect(), AuditSettings(draws=20, half=h)) for h in ("tune", "report"))
    assert tune["n"] + report["n"] == 96 and tune["dialogues"] + report["dialogues"] == 24
    assert report["half"] == "report"
    mine = [c for c in CASES if in_half(c.task.cluster, "tune")]
    with pytest.raises(DataError, match="no dialogue of the 32 rows is in the half `report`"):
        audited(perfect(), AuditSettings(half="report"), cases=mine)


def test_the_threshold_is_chosen_on_the_other_half() -> None:
    """A judge that is 0.5 higher on one half: the threshold that suits that half is wrong for the other."""
    shifted = Judged(lambda task, output: 0.5 * quality(output) + 0.5 * in_half(task.cluster, "report"))
    found = audited(shifted, AuditSettings(draws=20, half="report"))
    (cut,) = found["threshold"]["any_hallucination"]
    assert 0.05 < cut < 0.2  # of the half for tuning, where the scores are low
    assert found["sensitivity"]["any_hallucination"]["value"] == 0.0
    given = audited(shifted, AuditSettings(draws=20, half="report", threshold=0.625))
    assert given["threshold"]["any_hallucination"] == [0.625]
    assert given["sensitivity"]["any_hallucination"]["value"] == 1.0


def test_a_given_threshold_saves_the_other_half() -> None:
    judge = perfect()
    audited(judge, AuditSettings(draws=5, half="tune", threshold=0.25, probes=0))
    assert judge.calls == len({c.task.id for c in CASES if in_half(c.task.cluster, "tune")})


def test_repeats_go_to_the_judge_that_remembers_nothing() -> None:
    rng = np.random.default_rng(1)
    moody = Judged(lambda task, output: float(np.clip(quality(output) + rng.normal(0, 0.1), 0, 1)))
    found = audited(perfect(), fresh=moody)
    assert found["pearson"]["FactualF1"]["value"] == pytest.approx(1.0)
    assert 0.05 < found["consistency"]["sd"]["value"] < 0.15
    assert moody.calls == 3 * 10  # 40 outputs of 10 dialogues, three times


def test_place_in_the_group() -> None:
    # places 1, 2/3, 1/3, 0 of the bonus: earlier instead of later is worth 0.4 * (1 + 1/3) / 2
    assert audited(Partial(0.4))["order"]["group"]["value"] == pytest.approx(0.4 * 2 / 3)
    assert audited(perfect())["order"]["group"]["value"] == 0.0
    alone = cases(dialogues=12, each=1)
    assert audited(Partial(0.4), cases=alone)["order"]["group"] is None


def test_order_of_sentences() -> None:
    found = audited(Judged(lambda t, o: 0.8 if o["note"].startswith("The patient") else 0.5))
    assert found["order"]["sentences"]["value"] == pytest.approx(-0.3)


def test_length() -> None:
    long = [case(i // 4, (i % 10) / 10, text="cough " * (5 + 37 * i % 60)) for i in range(48)]
    found = audited(Judged(lambda t, o: min(1.0, len(o["note"].split()) / 200)), cases=long)["length"]
    assert found["spearman"]["value"] == pytest.approx(1.0)
    assert found["given_human"]["value"] == pytest.approx(1.0)
    assert found["doubled"]["value"] > 0.05
    fair = audited(perfect())["length"]
    assert fair["doubled"]["value"] == 0.0


def test_probes_can_be_left_out() -> None:
    found = audited(perfect(), AuditSettings(draws=5, probes=0))
    assert found["consistency"] is found["order"] is found["length"] is None


def used(judge: Judged, **more: Any) -> Usage:
    return Usage(requests=7 + 10 * judge.calls, money=0.5 * judge.calls, longest=0.25, **more)


def test_cost_is_of_judging_once() -> None:
    judge = perfect()
    found = audited(judge, usage=lambda: used(judge))
    spent = {name: value for name, value in found["cost"].items() if value}
    # 24 groups, without the probes; the longest is no sum
    assert spent == {"outputs": 96, "requests": 240, "money": 12.0, "longest": 0.25}
    assert found["latency_ms"] is not None and "240" in words.cost(found)
    assert audited(perfect())["cost"] is None


def test_answers_out_of_a_cache_are_no_latency_of_the_judge() -> None:
    judge = perfect()
    found = audited(judge, usage=lambda: used(judge, cache_hits=judge.calls))
    assert found["latency_ms"] is None and found["cost"]["cache_hits"] == 24
    assert "latency: –" in words.cost(found) and "cache_hits 24" in words.cost(found)


def test_latency_is_that_of_an_output() -> None:
    def slow(task: Task, output: Mapping[str, Any]) -> float:
        time.sleep(0.004)
        return quality(output)

    found = audited(Judged(slow), AuditSettings(draws=20, probes=0), cases=CASES[:16])["latency_ms"]
    assert 4 <= found["median"] <= found["p90"] < 400 and 4 <= found["mean"]["value"] < 400
    assert found["mean"]["n"] == 16


def test_the_baseline_is_of_the_outputs_that_the_judge_scored() -> None:
    """Where ROUGE agrees with people and the judge says nothing, it is not ahead for that."""
    told = [case(i, i % 4 / 4, text=f"The patient {'coughs. He ' * (i % 4)}") for i in range(40)]
    silent = Judged(lambda task, output: None if int(task.cluster) < 20 else len(output["note"]) / 100)
    of_all, of_some = (
        audited(silent, AuditSettings(draws=20, probes=0), cases=rows)["baselines"]["rouge1_f"]
        for rows in (told, told[20:])
    )
    assert of_all["pearson"]["FactualF1"]["n"] == of_some["pearson"]["FactualF1"]["n"] == 20
    assert of_all["pearson"]["FactualF1"]["value"] == of_some["pearson"]["FactualF1"]["value"]


def test_without_a_reference_there_is_no_baseline() -> None:
    bare = [replace(c, task=replace(c.task, reference={"source": "x"})) for c in CASES[:8]]
    assert audited(perfect(), cases=bare)["baselines"] == {"rouge1_f": None}


def test_labels_by_criterion_are_compared_with_that_criterion() -> None:
    """As `fivestones judge export --as audit` writes them."""

    def labelled(i: int) -> Any:
        good = i % 3 > 0
        made = case(i // 2, 0.0)
        return replace(made, output={"S": f"s {good}", "O": "o"}, human={"S": float(good), "O": 1.0})

    class Sections:
        def __call__(self, task: Task, outputs: Any) -> Any:
            from fivestones.types import Verdict

            return [Verdict(criteria={"S": 0.9 if "True" in o["S"] else 0.2, "O": 0.7}) for o in outputs]

    rows = [labelled(i) for i in range(48)]
    rows = [replace(c, task=replace(c.task, reference={"source": "x"})) for c in rows]
    found = audited(Sections(), cases=rows)
    assert found["about"] == {"S": "S", "O": "O"}
    assert found["pearson"]["S"]["value"] == pytest.approx(1.0) and found["pearson"]["O"] is None
    assert found["auroc"]["fails_S"]["value"] == found["kappa"]["fails_S"]["value"] == 1.0
    assert found["auroc"]["fails_O"] is None  # nobody failed it


def test_the_embedded_judge_is_asked_for_its_precision() -> None:
    """What is left out lowers its score and not its precision, what is invented lowers both."""
    names = ("cough", "fever", "aspirin", "seizure", "stroke")
    lexicon = Lexicon([Concept(name=n, kind="symptom", forms=(n,)) for n in names])
    short, wrong = "The patient coughs.", f"{REFERENCE} He had a seizure. He had a stroke last year."
    rows = [
        case(i, f1, hallucinated=bad, text=text)
        for i in range(8)
        for f1, bad, text in ((1.0, 0.0, REFERENCE), (0.3, 0.0, short), (0.6, 0.5, wrong))
    ]
    found = audited(FactsJudge(lexicon, ("note",)), cases=rows)
    assert found["about"] == {"FactualF1": "overall", "HallucinationRate": "precision"}
    assert found["auroc"]["any_hallucination"]["value"] == 1.0
    assert found["baselines"]["rouge1_f"]["auroc"]["any_hallucination"]["value"] < 0.75


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"repeats": 1}, "repeats is 1"), ({"draws": 0}, "draws is 0"), ({"threshold": 2.0}, "threshold is 2")],
)
def test_settings_are_checked(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        AuditSettings(**wrong)
