from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_run import HOSTILE, RECIPE, make_run

from fivestones.errors import DataError
from fivestones.evaluate.records import read_records
from fivestones.evaluate.summary import summarize, write_summary
from fivestones.report import write_report

VOID = {"meta", "img", "br", "hr", "input", "link", "circle", "rect", "line", "path"}
ADDRESSES = ("src", "href", "srcset", "data", "action", "poster", "xlink:href")


class Page(HTMLParser):
    """Tags, attributes and visible text; checks that tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "soap", tasks=240, steps=30)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "soap"))


def page_of(run_dir: Path) -> Page:
    html, _ = write_report(run_dir)
    return Page(html.read_text(encoding="utf-8"))


def markdown(run_dir: Path) -> str:
    return write_report(run_dir)[1].read_text(encoding="utf-8")


def test_the_whole_page(run: Path) -> None:
    page = page_of(run)
    for heading in ("Result", "Generalisation", "Training", "Examples", "Time and cost", "Data certificate"):
        assert heading in page.text
    for said in (
        "superior",
        "over imitation, the best of the others",
        "held out: never seen in training",
        "Extra dataset: mts_dialog",
        "Outputs cut at the token limit",
        "Groups without contrast",
        "novel_metric",  # a metric that nobody foresaw
        "Step 0",
        "Step 29",
        "nearest_cosine",
        "transformers",
        "timeout: 1",
        "13 min 10 s",  # the sum of the stages: 20 + 60 + 30 * 17 + 4 * 50 s
        "synthesis 20 s 2.5",
        "warm-up 1 min 0 s 7.6 3.00",
        "evaluation of base_examples 50 s",
        "declared before the run",
    ):
        assert said in page.text, said
    assert "Absent from this run directory" not in page.text
    assert page.tags.count("svg") > 10
    assert re.search(r"\d+ wins \d+ ties \d+ losses", page.text)


def test_figures_are_those_of_the_summary(run: Path) -> None:
    page = page_of(run)
    summary = json.loads((run / "summary.json").read_text())
    for contestant in summary["contestants"].values():
        for figure in (contestant["total"], *contestant["sections"].values()):
            assert f"{figure['mean']:.2f} {figure['low']:.2f} to {figure['high']:.2f}" in page.text


def test_texts_of_models_and_users_are_escaped(run: Path) -> None:
    page = page_of(run)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert HOSTILE in page.text  # shown as text, not dropped


def test_nothing_from_outside(run: Path) -> None:
    page = page_of(run)
    outside = [(n, v) for n, v in page.attributes if n in ADDRESSES and not v.startswith("#")]
    assert outside == []
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    style = (run / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert any("default-src 'none'" in value for _, value in page.attributes)


def test_every_table_and_chart_can_be_read_aloud(run: Path) -> None:
    page = page_of(run)
    assert page.tags.count("caption") == page.tags.count("table")
    assert sum(n == "aria-label" for n, _ in page.attributes) >= page.tags.count("svg")
    assert ("lang", "en") in page.attributes
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {v[1:] for n, v in page.attributes if n == "href"} <= set(ids)


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    html, md = write_report(run)
    first = (html.read_bytes(), md.read_bytes())
    write_report(run)
    assert (html.read_bytes(), md.read_bytes()) == first


PARTS = [
    "recipe.yaml",
    "manifest.json",
    "metrics.jsonl",
    "timings.jsonl",
    "rollouts",
    "eval",
    "summary.json",
    "data/certificate.json",
]


@pytest.mark.parametrize("part", PARTS)
def test_any_part_may_be_absent(copy: Path, part: str) -> None:
    target = copy / part
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    page = page_of(copy)
    assert "Absent from this run directory" in page.text
    assert f"{part}:" in page.text
    assert f"- {part}:" in markdown(copy)


@pytest.mark.parametrize("part", [p for p in PARTS if "." in p])
def test_any_part_may_be_unreadable(copy: Path, part: str) -> None:
    (copy / part).write_text("{broken: [\n{broken: [\n")
    assert f"unreadable: {part}" in page_of(copy).text


def test_an_empty_run_says_that_there_is_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert "no result yet" in page.text
    assert "no training step yet" in page.text
    assert "No training step yet." in markdown(tmp_path)


def test_a_run_in_progress(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    line = json.dumps({"step": 4, "phase": "train", "reward_mean": 2.5})
    (tmp_path / "metrics.jsonl").write_text(f'{line}\n{{"step": 5, "rew')  # torn: being written
    assert "1 of 40 training steps" in page_of(tmp_path).text
    assert "step 4, mean reward 2.50" in markdown(tmp_path)


def test_a_maximum_is_not_rounded(copy: Path) -> None:
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "max_score": 2.5}))
    assert "total of 2.5" in page_of(copy).text
    assert re.search(r"trained scores \d\.\d\d of 2\.5 points", markdown(copy))


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such run directory"):
        write_report(tmp_path / "none")


def test_no_verdict_is_said_when_too_much_is_unscored(tmp_path: Path) -> None:
    run = make_run(tmp_path / "soap", tasks=80, steps=2)  # 1 of 80 is above 0.5%
    page = page_of(run)
    assert "No verdict: 1 of 80 shared tasks unscored" in page.text
    assert "| trained − imitation | – | – | 79 | 0 | refused |" in markdown(run)


def test_price_per_hour(copy: Path) -> None:
    html, _ = write_report(copy, price_per_hour=10.0)
    assert "all stages 13 min 10 s 2.19" in Page(html.read_text()).text
    html, _ = write_report(copy)
    assert "an hour" not in Page(html.read_text()).text


def test_a_margin_set_at_the_evaluation_is_not_called_declared(copy: Path) -> None:
    summary = json.loads((copy / "summary.json").read_text())
    summary["method"]["margin"] = 0.5
    summary["contract"]["overrides"] = {"evaluate.margin": {"declared": 0.1, "used": 0.5}}
    (copy / "summary.json").write_text(json.dumps(summary))
    said = page_of(copy).text
    assert "Margin 0.50 points, set at the evaluation; declared before the run: 0.10." in said
    assert "Changed at the evaluation: evaluate.margin = 0.5 (declared: 0.1)" in markdown(copy)


def test_wins_and_losses_are_of_the_last_evaluation_only(copy: Path) -> None:
    """Records of tasks that it left out, and older ones of the same task, are in the files beside its own."""
    cases = copy / "eval" / "cases" / "test.jsonl"
    cases.write_text("".join(cases.read_text().splitlines(keepends=True)[:20]))
    path = copy / "eval" / "trained.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    stale = [{**line, "total": 0.0, "criteria": {}} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*stale, *lines]))
    found = re.search(r"(\d+) wins (\d+) ties (\d+) losses", page_of(copy).text)
    assert found
    wins, ties, losses = map(int, found.groups())
    assert 18 <= wins + ties + losses <= 20  # one of the 20 is unscored
    assert wins > losses


def test_too_few_clusters_are_told(copy: Path) -> None:
    records = [r for name in ("base", "trained") for r in read_records(copy / "eval" / f"{name}.jsonl")]
    few = [replace(r, cluster=str(int(r.task_id[1:]) % 3)) for r in records if r.dataset == "test"]
    summary = summarize(few, margin=0.1, draws=100, seed=0, max_score=5.0)
    write_summary(copy / "summary.json", summary)
    assert "No clear verdict: 3 clusters, a verdict takes 6." in page_of(copy).text


def test_markdown_is_short_and_complete(run: Path) -> None:
    said = markdown(run)
    assert said.startswith("# soap\n\n**superior**: trained scores")
    assert len(said.splitlines()) < 45
    assert "| trained − imitation | +" in said
    assert "Held out, style = rambling:" in said
    assert "Extra dataset mts_dialog:" in said
    assert write_report(run)[1].read_text() == said


def test_what_judges_cost_and_an_alarm_are_told(copy: Path) -> None:
    row = {"phase": "train", "step": 1, "questions": 40, "requests": 12, "retries": 2, "seconds": 6.0}
    rows = [{**row, "unscored": {"timeout": 3}}, {**row, "phase": "evaluate", "unscored": {}}]
    (copy / "judge.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    html, markdown = write_report(copy)
    text = html.read_text()
    assert "What was asked of judges" in text and "timeout: 3" in text and ">80<" in text
    assert "hacking alarm" not in text
    with (copy / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"phase": "train", "step": 41, "second/alarm": 1.0}) + "\n")
    html, markdown = write_report(copy)
    assert "hacking alarm" in html.read_text() and "at steps 41" in markdown.read_text()


def test_a_second_judge_that_comes_too_seldom_is_told(copy: Path) -> None:
    for every, seldom in ((7, True), (6, False)):  # of 40 steps
        (copy / "recipe.yaml").write_text(f"{RECIPE}watch: {{judge: {{kind: facts}}, every: {every}}}\n")
        for made in write_report(copy):
            assert ("5 looks in 40 steps, too few to tell anything" in made.read_text()) == seldom
