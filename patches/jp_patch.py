import os, re, subprocess
os.chdir('/tmp/jp')
def sub(p, *pairs):
    s=open(p).read()
    for a,b in pairs:
        assert s.count(a)==1, (p, s.count(a), a)
        s=s.replace(a,b)
    open(p,'w').write(s)
L='src/fivestones/score/llm/'
# 1. the parts move into the recipe
settings=open(L+'settings.py').read()
parts=settings[settings.index('class EndpointPart'):]
os.remove(L+'settings.py')
parts=parts.replace('Field(default_factory=dict)','{}')
sub('src/fivestones/recipe.py',
('''from typing import Annotated, Any, Literal

from pydantic''','''from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic'''),
('''class JudgePart(Part):
    kind: str = "facts"  # facts | module:attribute
    options: dict[str, Any] = {}  # handed to a user's own judge
    retries''',parts.rstrip()+'''


class JudgePart(ChatPart):
    """Of kind `llm`, the chat model is the judge."""

    kind: str = "facts"  # facts | llm | module:attribute
    options: dict[str, Any] = {}  # handed to a user's own judge
    rubric: str = Field("soap", min_length=1)  # llm: a built-in rubric, or a YAML file
    retries'''),
('''    # seconds before the first retry, five times as long before each next; the built-in judge needs none
    wait: float = Field(1.0, ge=0, le=60)
''','''    # seconds before the first retry, five times as long before each next; the built-in judge needs none
    wait: float = Field(1.0, ge=0, le=60)

    @model_validator(mode="after")
    def _placed(self) -> JudgePart:
        if self.kind == "llm" and not (self.endpoints and self.model):
            raise ValueError("kind `llm` needs `endpoints` (at least one) and `model` (its name there)")
        if self.kind != "llm" and (self.endpoints or self.model):
            raise ValueError(f"endpoints and model go with kind `llm`, not `{self.kind}`")
        return self
'''),
('''_known("judge.kind", self.judge.kind, ("facts",))''','''_known("judge.kind", self.judge.kind, ("facts", "llm"))'''),
)
for folder in (L,'tests/score/llm/','benchmarks/'):
    for f in os.listdir(folder):
        if f.endswith('.py'):
            p=folder+f; s=open(p).read()
            n=s.replace('from fivestones.score.llm.settings import','from fivestones.recipe import')
            if n!=s: open(p,'w').write(n)
# 2. paths
sub('src/fivestones/recipe_load.py',
('''    """Makes the paths of the tree absolute: `modules`, those of `files`, `evaluate.extra`, and a model on
    disk."""
''','''    """Makes the paths of the tree absolute: `modules`, those of `files`, `evaluate.extra` and `judge`, and a
    model on disk."""
'''),
('''    if isinstance(model, dict) and isinstance(source''','''    if isinstance(judge := tree.get("judge"), dict):
        files_of_it = {k: judge[k] for k in ("rubric", "cache") if judge.get(k)}
        if not str(files_of_it.get("rubric", "")).endswith((".yaml", ".yml")):
            files_of_it.pop("rubric", None)  # a name
        tree["judge"] = {**judge, **{k: anchored(v) for k, v in files_of_it.items()}}
    if isinstance(model, dict) and isinstance(source'''))
# 3. wiring
sub('src/fivestones/build.py',
('''from fivestones.score.facts.lexicon import Lexicon
''','''from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.llm import ChatClient, Egress, LlmJudge, ReplyCache, Usage, load_rubric
'''),
('''from fivestones.types import Generation, Split, Task
''','''from fivestones.types import Generation, Rollout, Split, Task
'''),
('''    """What is the same in training and evaluation, on any machine; no model in it."""

    recipe: Recipe
    rows: Rows
''','''    """What is the same in training and evaluation, on any machine; no model in it.

    folder: the run directory, for the replies of a judge behind endpoints; None keeps them in memory.
    """

    recipe: Recipe
    rows: Rows
    folder: Path | None = None
'''),
('''    @cached_property
    def lexicon(self)''','''    @cached_property
    def judge_client(self) -> ChatClient | None:
        """Of a judge behind endpoints."""
        part = self.recipe.judge
        if part.kind != "llm":
            return None
        inside = self.folder is not None
        cache = part.cache or (self.folder / "judge.sqlite" if self.folder else None)
        egress = Egress(self.folder / "egress.jsonl" if self.folder else None)
        return ChatClient(part, ReplyCache(cache), egress=egress)

    @property
    def judge_usage(self) -> Usage | None:
        """What the judge has cost so far; None: it costs nothing but time."""
        return self.judge_client.usage if self.judge_client else None

    def begin(self, task: Task, rollouts: Sequence[Rollout]) -> None:
        """Lets a judge that works elsewhere start on rollouts that will soon be scored."""
        if isinstance(self._scorer, RubricScorer):
            self._scorer.begin(task, rollouts)

    @cached_property
    def lexicon(self)'''),
('''        if self.recipe.judge.kind != "facts":
            judge = self.recipe.judge
            judges''','''        judge = self.recipe.judge
        if self.judge_client is not None:
            rubric = load_rubric(judge.rubric)
            judges["facts"] = LlmJudge(self.judge_client, rubric, fields, judge.request.output)
        elif judge.kind != "facts":
            judges'''),
)
s=open('src/fivestones/build.py').read(); s=s.replace('        inside = self.folder is not None\n',''); open('src/fivestones/build.py','w').write(s)
sub('src/fivestones/score/rubric.py',
('''from fivestones.protocols import Gate, Judge
''','''from fivestones.protocols import EagerJudge, Gate, Judge
'''),
('''    def _judge(self, task''','''    def begin(self, task: Task, rollouts: Sequence[Rollout]) -> None:
        """Lets judges that can start early start on what passes the gates; the scores are asked for later."""
        eager = [judge for judge in self._judges.values() if isinstance(judge, EagerJudge)]
        if eager:
            passed = [self._pass(task, rollout) for rollout in rollouts]
            outputs = [output for output in passed if not isinstance(output, Score)]
            for judge in eager:
                judge.begin(task, outputs)

    def _judge(self, task'''))
sub('src/fivestones/protocols.py',
('''from typing import Any, Protocol
''','''from typing import Any, Protocol, runtime_checkable
'''),
('''class Policy(Protocol):''','''@runtime_checkable
class EagerJudge(Judge, Protocol):
    """A judge that works elsewhere, and can start before it is waited for."""

    def begin(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> None: ...


class Policy(Protocol):'''))
sub('src/fivestones/api.py',('Stages(Job(recipe, load_rows(recipe, data)), directory, progress)','Stages(Job(recipe, load_rows(recipe, data), directory.path), directory, progress)'))
# 4. identity
sub('src/fivestones/evaluate/identity.py',
('''CODE_FILES = (".py", ".yaml", ".json")
''','''CODE_FILES = (".py", ".yaml", ".json")
# where a judge is asked and how patiently does not change what it says
NO_OPINION = {"endpoints", "limits", "budget", "cache", "retries", "wait"}
'''),
('''    return _digest([recipe.model_dump(mode="json", include={"environment", "judge"}), *code])
''','''    rubric = recipe.judge.rubric
    if recipe.judge.kind == "llm" and rubric.endswith((".yaml", ".yml")):
        code.append(["judge.rubric", _file_digest("judge.rubric", Path(rubric))])
    said = {
        "environment": recipe.environment.model_dump(mode="json"),
        "judge": recipe.judge.model_dump(mode="json", exclude=NO_OPINION | {"rubric"}),
        "rubric": Path(rubric).name,
    }
    return _digest([said, *code])
'''))
# 5. usage, five parts, an early start
sub('src/fivestones/stages/shared.py',
('''        middle = time.monotonic()
        groups''','''        middle = time.monotonic()
        for task, rollouts in rolled:  # a server judges all groups at once
            self.job.begin(task, rollouts)
        groups'''),
('''    def finish(self, phase''','''    def log_judge(self, phase: str, **row: Any) -> None:
        """A row of judge.jsonl: what the judge has cost since the last one."""
        used = self.job.judge_usage
        if used is not None:
            since, self._judged = used - self._judged, used
            self.run.append(self.run.path / "judge.jsonl", {"phase": phase, **row, **asdict(since)})

    def finish(self, phase'''),
('''        self._lengths: dict''','''        self._judged = Usage()  # at the last row of the judge's log
        self._lengths: dict'''),
('''from dataclasses import replace
''','''from dataclasses import asdict, replace
'''),
('''from fivestones.runlog import RunDir
''','''from fivestones.runlog import RunDir
from fivestones.score.llm import Usage
'''))
sub('src/fivestones/stages/grpo.py',('''        shared.log_time("train", step=step + 1, **spent)
''','''        shared.log_time("train", step=step + 1, **spent)
        shared.log_judge("train", step=step + 1)
'''))
sub('src/fivestones/stages/evaluation.py',('''        shared.log_time("evaluate", contestant=contestant.name, dataset=dataset.name, tasks=tasks)
''','''        row = {"contestant": contestant.name, "dataset": dataset.name, "tasks": tasks}
        shared.log_time("evaluate", **row)
        shared.log_judge("evaluate", **row)
'''))
sub('src/fivestones/evaluate/run.py',
('''    criteria: tuple[str, ...] = ()  # names, in order
''','''    criteria: tuple[str, ...] = ()  # names, in order
    begin: Callable[[Task, Sequence[Rollout]], None] = lambda task, rollouts: None
    """Told of rollouts that will soon be scored."""
'''),
('''        records = [
            _record(name''','''        for task, rollout in zip(chunk, rollouts, strict=True):
            dataset.begin(task, [rollout])
        records = [
            _record(name'''))
sub('src/fivestones/build.py',
('''        return Dataset(
            "test", tasks[:limit] if limit else tasks, self.scorer, self.environment.lenient, self.criteria
        )
''','''        return Dataset(
            "test",
            tasks[:limit] if limit else tasks,
            self.scorer,
            self.environment.lenient,
            self.criteria,
            self.begin,
        )
'''),
('''        return Dataset(name, list(real.tasks("test")), self.scorer, self.environment.lenient, self.criteria)
''','''        tasks = list(real.tasks("test"))
        return Dataset(name, tasks, self.scorer, self.environment.lenient, self.criteria, self.begin)
'''),
('''        return Dataset(name, tasks, self._patient(rubric), self.environment.lenient, rubric.names)
''','''        scorer = self._patient(rubric)
        return Dataset(name, tasks, scorer, self.environment.lenient, rubric.names, rubric.begin)
'''),
)
sub('src/fivestones/train/step_log.py',
('''    """What `rollouts/step-*.jsonl` holds: a row a rollout, with its score."""
    return [
''','''    """What `rollouts/step-*.jsonl` holds: a row a rollout, with its score. `parts`: 1 for all gates, and each
    criterion; 0 where a gate failed, null where it is unknown."""
    names = sorted({name for g in groups for s in g.scores for name in (*s.criteria, *s.unscored)})
    return [
'''),
('''            **asdict(s),
''','''            **asdict(s),
            "parts": {
                "gates": float(not s.failed),
                **{name: 0.0 if s.failed else s.criteria.get(name) for name in names},
            },
'''))
sub('pyproject.toml',('''    "duckdb>=1.4,<3",
''','''    "duckdb>=1.4,<3",
    "httpx2>=2.16,<3",
'''))
sub('tests/benchmarks/test_benchmarks.py',('["grpo_step", "rollouts", "update", "scaling", "bound"]','["grpo_step", "rollouts", "update", "scaling", "bound", "judge_client"]'))
s=open('tests/test_build.py').read()
s+='''

LLM = {"kind": "llm", "endpoints": [{"url": "http://127.0.0.1:9/v1"}], "model": "m"}


def test_an_llm_judge_is_built_from_the_recipe_and_keeps_its_replies_in_the_run(tmp_path: Path) -> None:
    recipe = load_recipe("soap", "smoke", {"judge": LLM})
    job = Job(recipe, sample_rows(recipe, 2), tmp_path / "run")
    assert (job.max_reward, job.criteria) == (5.0, ("S", "O", "A", "P"))
    assert job.extra_set("clinic", clinic(tmp_path)).criteria == ("note",)
    assert not (tmp_path / "run").exists()  # until something is judged
    assert job.judge_usage is not None and job.judge_usage.questions == 0
    assert soap().judge_usage is None


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ({"kind": "lm"}, r"judge.kind: got `lm`; allowed: facts, llm, .* Did you mean `llm`"),
        ({"kind": "llm"}, "kind `llm` needs `endpoints`"),
        ({**LLM, "kind": "facts"}, "go with kind `llm`, not `facts`"),
        ({**LLM, "modle": "x"}, r"judge.modle: unknown key\\. Did you mean .*`judge.model`|`model`"),
        ({**LLM, "limits": {"attempts": 0}}, "judge.limits.attempts: got 0; allowed: an integer at least 1"),
    ],
)
def test_a_wrong_judge_is_told(judge: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("soap", "smoke", {"judge": judge})


def test_a_wrong_rubric_or_key_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"rubric: got `saop`; .* Did you mean `soap`"):
        _ = soap(judge={**LLM, "rubric": "saop"}).scorer
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyed = [{"url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}]
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        _ = soap(judge={**LLM, "endpoints": keyed}).scorer


def test_paths_of_a_judge_are_relative_to_its_recipe(tmp_path: Path) -> None:
    text = {"name": "x", "judge": {**LLM, "rubric": "mine.yaml", "cache": "c.sqlite"}, "synth": {"train": 2}}
    (tmp_path / "r.yaml").write_text(json.dumps(text))
    judge = load_recipe(tmp_path / "r.yaml").judge
    assert (judge.rubric, judge.cache) == (str(tmp_path / "mine.yaml"), tmp_path / "c.sqlite")
'''
open('tests/test_build.py','w').write(s)
s=open('tests/score/llm/test_llm_run.py').read()
s=s.replace('''        "modules": [str(Path(__file__).parent)],
''','')
s=s.replace('''        "judge": {"kind": "own_llm:judge", "retries": 1, "wait": 0.01},
''','''        "judge": {"kind": "llm", "model": "m", "rubric": "rubric.yaml", "retries": 1, "wait": 0.01},
''').replace('''    path = folder / "recipe.yaml"
''','''    (folder / "rubric.yaml").write_text(RUBRIC)
    path = folder / "recipe.yaml"
''').replace('''        options = {"url": server.url, "cache": str(tmp_path / f"{name}.sqlite")}
        return fivestones.run(file, {"judge.options": options}, out=tmp_path / name, resume=resume)
''','''        asked = {"judge.endpoints": [{"url": server.url}], "judge.limits": {"attempts": 2, "backoff": 0.001}}
        return fivestones.run(file, asked, out=tmp_path / name, resume=resume)
''')
own=open('tests/score/llm/own_llm.py').read()
rub=own[own.index('RUBRIC = """'):own.index('"""\n\n\ndef judge')+4]
s=s.replace('''

def grade(''',"\n"+rub+'''

def grade(''',1)
s=s.replace('''    rewards = [json''','''    rows = [json.loads(line) for line in (tmp_path / "calm" / "judge.jsonl").read_text().splitlines()]
    assert [r["phase"] for r in rows] == ["train"] * 4 + ["evaluate"]
    assert sum(r["requests"] for r in rows) == len(calm.requests)
    rewards = [json''')
open('tests/score/llm/test_llm_run.py','w').write(s)
os.remove('tests/score/llm/own_llm.py')
R='/work/main/.venv/bin/ruff'
subprocess.run([R,'check','-q','--fix','src','tests','benchmarks'],check=False)
subprocess.run([R,'format','-q','src','tests','benchmarks'],check=False)
subprocess.run([R,'check','--output-format','concise','src/fivestones/score/llm','src/fivestones/recipe.py','src/fivestones/build.py','src/fivestones/recipe_load.py','src/fivestones/evaluate','src/fivestones/stages','src/fivestones/train/step_log.py','tests/score/llm','tests/test_build.py','benchmarks/judge_client.py','src/fivestones/protocols.py'],check=False)
sub('tests/test_recipe.py',('judge.kind: got `fact`; allowed: facts, or module','judge.kind: got `fact`; allowed: facts, llm, or module'))
