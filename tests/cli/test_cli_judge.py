"""`fivestones judge`: audit, label, export, import, on real files and a real recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from fivestones.audit.cases import in_half
from fivestones.cli.judge import judge_app
from fivestones.data.store import sha256
from fivestones.recipe import CriterionPart
from fivestones.recipe_load import dump, load_recipe
from fivestones.score.people import HumanVerdict, Item, Review
from fivestones.score.people.queue import append_pending
from fivestones.score.people.reviews import append_reviews
from scripted_server import ScriptedServer

NOTE = {"S": "Cough for 3 days.", "O": "No fever.", "A": "Bronchitis.", "P": "Rest."}
ROWS = [
    ("Cough for 3 days. Denies fever.", 1.0, 0.0),
    ("Cough.", 0.3, 0.0),
    ("Cough for 3 days. Seizure last year. Takes warfarin 5 mg.", 0.6, 0.5),
    ("Knee pain on the left.", 0.0, 0.9),
]


def invoke(*words: str | Path, given: str = "") -> Result:
    return CliRunner().invoke(judge_app, [str(w) for w in words], input=given, env={"COLUMNS": "200"})


@pytest.fixture
def human(tmp_path: Path) -> Path:
    path = tmp_path / "human.jsonl"
    rows = [
        {
            "dialogue_id": i,
            "dialogue": f"Doctor: Visit {i}. Well?\nPatient: I've been coughing for three days. No fever.",
            "reference": "Cough for 3 days. Denies fever.",
            "summary": summary,
            "human": {"FactualF1": f1, "HallucinationRate": bad},
        }
        for i in range(6)
        for summary, f1, bad in ROWS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rollout(n: int, **more: Any) -> dict[str, Any]:
    return {
        "task_id": f"t{n}",
        "prompt": [{"role": "user", "content": f"Patient: I cough, {n}."}],
        "text": json.dumps({**NOTE, "P": f"Rest {n}."}),
        "failed": {},
        "criteria": dict.fromkeys(NOTE, 0.5),
        "unscored": {},
        **more,
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run over rows of one's own, with references."""
    for split, letter in (("train", "t"), ("test", "u")):
        rows = [{"id": f"{letter}{n}", "dialogue": f"Patient: I cough, {n}.", "note": NOTE} for n in range(4)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    properties = {key: {"type": "string"} for key in NOTE}
    structured = {
        "instructions": "Write.",
        "input": "{dialogue}",
        "output_schema": {"type": "object", "properties": properties, "required": list(NOTE)},
        "reference": "note",
        "criteria": [CriterionPart(field=key, kind="facts").model_dump() for key in NOTE],
    }
    recipe = {
        "name": "own",
        "environment": {"kind": "structured", "structured": structured},
        "files": {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    folder = tmp_path / "run"
    (folder / "rollouts").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(dump(load_recipe(path)))
    rows = [rollout(0), rollout(1), rollout(2, failed={"json": "no"})]
    (folder / "rollouts" / "step-000001.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


class TestAudit:
    def test_json(self, human: Path) -> None:
        done = invoke("audit", human, "--judge", "facts", "--json", "--draws=50", "--attacks=2", "--probes=8")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["judge"], found["half"], found["n"], found["dialogues"]) == ("facts", "all", 24, 6)
        for part in ("pearson", "spearman"):
            assert set(found[part]) == {"FactualF1", "HallucinationRate"}
            assert {"value", "low", "high"} <= set(found[part]["FactualF1"])
        assert found["pearson"]["FactualF1"]["value"] > 0.5
        assert found["auroc"]["any_hallucination"]["value"] > 0.9
        assert set(found["baselines"]["rouge1_f"]) >= {"pearson", "spearman", "auroc"}
        assert found["adversarial"]["mode"] == "facts" and found["adversarial"]["cases"] == 2
        assert found["consistency"]["identical"]["value"] == 1.0
        assert found["inputs"]["file"] == sha256(human) and len(found["inputs"]["judge"]) == 64

    def test_tables_and_a_file(self, human: Path, tmp_path: Path) -> None:
        out = tmp_path / "audit.json"
        done = invoke("audit", human, "--half=report", "--draws=20", "--attacks=2", "--out", out)
        assert done.exit_code == 0, done.output
        for told in ("the half for reporting", "FactualF1", "any_hallucination", "passes", "latency"):
            assert told in done.stdout
        assert json.loads(out.read_text())["half"] == "report"

    def test_the_judge_of_a_run_goes_into_its_folder(self, human: Path, run: Path) -> None:
        done = invoke("audit", human, "--judge", run, "--draws=20", "--attacks=2", "--probes=0", "--out", run)
        assert done.exit_code == 0, done.output
        found = json.loads((run / "audit.json").read_text())
        assert found["judge"] == "own: facts"
        assert found["adversarial"]["mode"] == "reference" and found["adversarial"]["cases"] == 2

    def test_another_judge(self, human: Path) -> None:
        words = ("judge.kind=own_parts:Half", "--judge=soap", "--profile=smoke", "--attacks=0", "--draws=5")
        done = invoke("audit", human, *words, "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["judge"] == "soap: own_parts:Half" and found["adversarial"] is None
        assert found["pearson"]["FactualF1"] is None  # it says 0.5 of everything: unknown, not 0
        done = invoke("audit", human, words[0], "--attacks=0", "--draws=5", "--json")
        assert json.loads(done.stdout)["judge"] == "own_parts:Half"  # and not `facts`

    def test_an_llm_judge_with_references_and_then_its_cache(self, human: Path, run: Path) -> None:
        fields = "".join(f"  {f}: {{kind: binary, question: Q, reference: true}}\n" for f in ("note", *NOTE))
        (run / "rubric.yaml").write_text(f"name: mine\nrole: You judge.\npart: section\nfields:\n{fields}")
        with ScriptedServer() as server:
            judge = (
                f'{{kind: llm, endpoints: [{{url: "{server.url}"}}], model: m, rubric: {run}/rubric.yaml}}'
            )
            words = ("audit", human, f"judge={judge}", "--judge", run, "--attacks=2", "--draws=5", "--json")
            first, again = (json.loads(invoke(*words, "--probes=0").stdout) for _ in range(2))
            asked = len(server.requests)
        table = first["adversarial"]
        assert table["mode"] == "reference" and table["passed"] + table["failed"] > 10
        assert first["cost"]["requests"] == 24 and first["latency_ms"]["median"] > 0
        assert again["latency_ms"] is None and again["cost"]["cache_hits"] == 24
        assert again["cost"]["requests"] == 0 and asked == len(server.answered)
        assert again["adversarial"] == table

    def test_an_audit_is_no_work_for_people(self, human: Path, run: Path) -> None:
        judge = f"judge={{kind: people, labels: {run}/labels.jsonl}}"
        done = invoke("audit", human, judge, "--judge", run, "--attacks=1", "--draws=5", "--json")
        assert json.loads(done.stdout)["unscored"] == {"n": 24, "causes": {"no label": 24}}
        assert not (run / "labels.pending.jsonl").exists()

    def test_what_is_wrong_is_told(self, human: Path, tmp_path: Path) -> None:
        done = invoke("audit", tmp_path / "none.jsonl")
        assert done.exit_code == 3 and "no such file" in done.output
        done = invoke("audit", human, "--judge=sopa")
        assert done.exit_code == 2 and "soap" in done.output


class TestLabel:
    def test_a_session(self, run: Path) -> None:
        first = "p\nfine\nf\n\nno exam said\nx\np\n\np\n\n"  # S passes, O fails with a reason, x is no answer
        done = invoke("label", run, "--rater=ann", given=f"{first}q\n")
        assert done.exit_code == 0, done.output
        assert "a failed criterion needs a reason" in done.output and "1 labelled now, 1 to go" in done.output
        (row,) = [json.loads(line) for line in (run / "labels.jsonl").read_text().splitlines()]
        assert row["rater"] == "ann" and row["labels"]["S"] == {"passed": True, "reason": "fine"}
        assert row["labels"]["O"] == {"passed": False, "reason": "no exam said"}
        assert row["labels"]["A"]["passed"] is row["labels"]["P"]["passed"] is True

    def test_leaving_in_the_middle_keeps_what_was_said(self, run: Path) -> None:
        for given in ("p\nfine\nq\n", "p\nfine\n"):  # quit; the input ends
            done = invoke("label", run, "--rater", given, given=given)
            assert done.exit_code == 0, done.output
        assert len((run / "labels.jsonl").read_text().splitlines()) == 2

    def test_the_rest_is_asked_later(self, run: Path) -> None:
        invoke("label", run, "--rater=ann", given="p\nfine\nq\n")
        done = invoke("label", run, "--rater=ann", "--count=1", given="p\n\n" * 3)
        assert "S: [p/f/s/q]" not in done.output and "1 labelled now" in done.output

    def test_skip(self, run: Path) -> None:
        done = invoke("label", run, "--rater=ann", given="s\np\n\np\n\np\n\np\n\n")
        assert "1 labelled now, 1 to go" in done.output

    def test_no_score_of_a_judge_is_shown(self, run: Path) -> None:
        done = invoke("label", run, "--rater=ann", given="q\n")
        assert "I cough" in done.output and "Bronchitis" in done.output and "0.5" not in done.output

    def test_double_labels_give_agreement(self, run: Path) -> None:
        for rater in ("ann", "bob"):
            invoke("label", run, f"--rater={rater}", "--double=1", given="p\n\n" * 4 + "f\nx\n" * 4)
        done = invoke("label", run, "--rater=ann", "--double=1")
        assert "Krippendorff" in done.output and "ann, bob: 1.00" in done.output

    def test_a_rater_has_a_name(self, run: Path) -> None:
        done = invoke("label", run, "--rater= ", given="p\nfine\nq\n")
        assert done.exit_code == 2 and "--rater: the name is empty" in done.output
        invoke("label", run, "--rater= ann ", given="p\nfine\nq\n")
        assert json.loads((run / "labels.jsonl").read_text())["rater"] == "ann"

    def test_no_run(self, tmp_path: Path) -> None:
        assert invoke("label", tmp_path, "--rater=ann").exit_code == 6


class TestExchange:
    def test_a_queue_is_filled_in_elsewhere_and_comes_back(self, run: Path, tmp_path: Path) -> None:
        asked = tmp_path / "queue.jsonl"
        assert invoke("export", run, "--as=queue", "--criterion=S", "--out", asked).exit_code == 0
        rows = [json.loads(line) for line in asked.read_text().splitlines()]
        assert len(rows) == 2 and rows[0]["labels"] == {"S": {"passed": None, "reason": ""}}
        rows[0]["labels"]["S"] = {"passed": False, "reason": "wrong"}
        asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = invoke("import", run, asked, "--rater=cid")
        assert done.exit_code == 0, done.output
        assert "1 reviews added" in done.output and "1 rows without a label" in done.output
        back = invoke("export", run)
        (row,) = [json.loads(line) for line in back.stdout.splitlines()]
        assert row["rater"] == "cid" and row["labels"]["S"]["reason"] == "wrong"

    def test_a_last_line_without_its_newline_counts(self, run: Path, tmp_path: Path) -> None:
        """As editors leave it, in a file of people's and in the store itself."""
        rows = [json.loads(line) for line in invoke("export", run, "--as=queue").stdout.splitlines()]
        for row in rows:
            row["labels"]["S"]["passed"] = True
        file = tmp_path / "filled.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        done = invoke("import", run, file, "--rater= cid ")
        assert "2 reviews added" in done.output, done.output
        store = run / "labels.jsonl"
        store.write_text(store.read_text().rstrip())
        invoke("import", run, file, "--rater=dan")
        raters = [json.loads(line)["rater"] for line in store.read_text().splitlines()]
        assert raters == ["cid", "cid", "dan", "dan"]
        assert invoke("import", run, file, "--rater= ").exit_code == 2

    def test_a_run_that_paused_before_any_rollout_has_a_queue(self, run: Path) -> None:
        rollouts = run / "rollouts"
        (rollouts / "step-000001.jsonl").unlink()
        rollouts.rmdir()
        assert invoke("export", run, "--as=queue").exit_code == 3  # nothing waits either
        item = Item(task_id="t0", source="Patient: I cough.", output=NOTE, criteria=tuple(NOTE))
        append_pending(run / "labels.jsonl", [item])
        (row,) = [json.loads(line) for line in invoke("export", run, "--as=queue").stdout.splitlines()]
        assert row["item"] == item.key
        assert "1 to go" in invoke("label", run, "--rater=ann", given="q\n").output

    def test_nothing_is_added_of_a_file_with_a_fault(self, run: Path, tmp_path: Path) -> None:
        file = tmp_path / "labels.jsonl"
        good = json.loads(invoke("export", run, "--as=queue").stdout.splitlines()[0])
        good["labels"]["S"]["passed"] = True
        bad = {**good, "output": {"S": "changed"}}
        file.write_text("".join(json.dumps(row) + "\n" for row in (good, bad)))
        done = invoke("import", run, file, "--rater=cid")
        assert done.exit_code == 3 and "row 2" in done.output and not (run / "labels.jsonl").exists()
        assert invoke("import", run, tmp_path / "none").exit_code == 3

    def test_labels_audit_a_judge(self, run: Path, tmp_path: Path) -> None:
        invoke("label", run, "--rater=ann", given="p\n\n" * 4 + "f\nx\n" * 4)
        rows = tmp_path / "cases.jsonl"
        assert invoke("export", run, "--as=audit", "--out", rows).exit_code == 0
        first = json.loads(rows.read_text().splitlines()[0])
        assert first["reference"] == NOTE and set(first["human"]) == set(NOTE)
        done = invoke("audit", rows, "--judge", run, "--attacks=0", "--draws=5", "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["about"] == {key: key for key in NOTE} and set(found["auroc"]) == {
            f"fails_{k}" for k in NOTE
        }

    def test_cases_of_an_audit_have_all_fields_that_anybody_labelled(self, run: Path, tmp_path: Path) -> None:
        """In the schema's order; a later review of one criterion takes nothing away."""
        for number, (task, asked) in enumerate((("t0", "PO"), ("t0", "S"), ("u1", "O"))):
            item = Item(task_id=task, source=f"I cough, {task}.", output=NOTE, criteria=tuple(asked))
            labels = {c: HumanVerdict(True) for c in asked}
            append_reviews(run / "labels.jsonl", [Review(item=item, rater=f"r{number}", labels=labels)])
        cases = tmp_path / "cases.jsonl"
        invoke("export", run, "--as=audit", "--out", cases)
        rows = [json.loads(line) for line in cases.read_text().splitlines()]
        assert [list(row["output"]) for row in rows] == [["S", "O", "P"]] * 2
        assert [sorted(row["human"]) for row in rows] == [["O", "P", "S"], ["O"]]
        expected = {f: NOTE[f] for f in "SOP"}
        assert [row["reference"] for row in rows] == [expected] * 2  # of a task to test on, too
        done = invoke("audit", cases, "--judge", run, "--attacks=0", "--draws=5", "--json")
        assert json.loads(done.stdout)["n"] == 2

    def test_labels_are_examples_of_a_rubric_that_its_audit_does_not_see(self, run: Path) -> None:
        more = [rollout(n) for n in range(2, 10)]
        (run / "rollouts" / "step-000002.jsonl").write_text("".join(json.dumps(r) + "\n" for r in more))
        invoke("label", run, "--rater=ann", given=("p\ngood\n" * 4 + "f\nbad\n" * 4) * 5)
        done = invoke("export", run, "--as=examples", "--criterion=S", "--each=9")
        examples = yaml.safe_load(done.stdout)["fields"]["S"]["examples"]
        assert {(e["verdict"], e["reason"], e["text"]) for e in examples} == {
            ("pass", "good", NOTE["S"]),
            ("fail", "bad", NOTE["S"]),
        }
        assert set(examples[0]) == {"source", "text", "reason", "verdict"}
        rows = [json.loads(line) for line in invoke("export", run, "--as=audit").stdout.splitlines()]
        reported = {row["dialogue"] for row in rows if in_half(row["dialogue_id"], "report")}
        shown = {e["source"] for e in examples}
        assert len(reported) == 3 and len(shown) == 7 and not reported & shown
