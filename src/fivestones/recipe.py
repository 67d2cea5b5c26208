"""The recipe: everything a run depends on, frozen and validated. Loading and overrides are in
`recipe_load.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fivestones.recipe_chat import ChatPart, TeacherPart
from fivestones.recipe_part import NAME, Fraction, Natural, Part, Positive, Rate, known
from fivestones.recipe_serve import ServePart


class Lora(Part):
    rank: Positive = 16
    alpha: float = Field(32.0, gt=0)


class ModelPart(Part):
    source: str = (
        "smollm2-135m"  # `smollm2-135m` (embedded), a Hugging Face folder, a .gguf file, or a hub name
    )
    online: bool = False  # a hub name is only looked up when this is true
    revision: str | None = None  # pins a hub model
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"  # compute; masters are always float32
    lora: Lora | None = None
    gradient_checkpointing: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SynthPart(Part):
    """Synthetic data made by the environment (soap)."""

    train: Positive = 400
    test: Positive = 240
    length: Literal["short", "long"] = "short"  # about 150 to 300, or 600 to 1,500 words a dialogue
    styles: tuple[str, ...] = ()  # training styles; empty = all but the held-out one
    held_out_style: str | None = "rambling"  # test rows only
    held_out_share: Fraction = 0.4  # share of test rows in the held-out style
    embedder: Literal["hashed", "minilm"] = "hashed"
    workers: Positive = 2
    teacher: TeacherPart | None = None  # a chat model writes the texts; None: the grammar does


AskedOfOne = Literal[
    "lookup", "conversion", "net change", "growth", "CAGR", "spread", "sum", "share", "ratio",
    "sum over years", "mix shift", "average",
]  # fmt: skip


class WorldPart(Part):
    """A made world of companies, their tables and questions about them (finqa)."""

    short: bool = False  # few tables with few lines and short names: for small models and short contexts
    companies_train: Positive = 145
    companies_val: Positive = 31
    companies_test: Positive = 31
    tables: tuple[Positive, Positive] = (20, 40)  # of a company: least, most
    train: Positive = 4030  # questions about one table (L0 to L4)
    val: Natural = 522
    test: Positive = 558
    multi_train: Natural = 991  # questions about several (L5, L6); in training only where asked for
    multi_val: Natural = 126
    multi_test: Natural = 131
    levels: tuple[Literal["L0", "L1", "L2", "L3", "L4"], ...] = Field(
        ("L0", "L1", "L2", "L3", "L4"), min_length=1
    )  # of the questions about one table
    families: tuple[AskedOfOne, ...] | None = Field(None, min_length=1)  # of them; None: all
    workers: Positive = 2

    @model_validator(mode="after")
    def _ordered(self) -> WorldPart:
        if self.tables[0] > self.tables[1]:
            raise ValueError(f"tables: got {self.tables}; allowed: the least, then the most")
        return self


class FilesPart(Part):
    """A user's own data: JSONL or Parquet files."""

    train: Path
    test: Path | None = None  # None: a share of train, split by cluster
    test_share: Fraction = 0.1

    @model_validator(mode="after")
    def _testable(self) -> FilesPart:
        if self.test is None and not 0.0 < self.test_share < 1.0:
            raise ValueError(
                f"test_share: got {self.test_share:g}; allowed: above 0 and below 1, or another file as "
                "`files.test`"
            )
        return self


class CriterionPart(Part):
    """One line of a rubric: how a field of the output is judged, in [0, 1]."""

    field: str
    # fact matching, equality, token F1, or ROUGE F1 against the reference
    kind: Literal["facts", "exact", "overlap", "rouge1", "rougeL"]
    weight: float = Field(1.0, ge=0)  # 0: reported, not rewarded


class StructuredPart(Part):
    """JSON Schema + rubric: a job without code."""

    instructions: str  # the system message
    input: str  # the user message, `{column}` placeholders
    output_schema: dict[str, Any]  # JSON Schema of the output object
    reference: str | None = None  # column with the reference output (an object or its JSON text)
    reference_fields: dict[str, str] = {}  # or: output field -> column
    cluster: str | None = None  # column; None: each row its own
    tags: tuple[str, ...] = ()  # columns to slice the report by
    gate_points: float = Field(1.0, ge=0)
    criteria: tuple[CriterionPart, ...] = ()

    @model_validator(mode="after")
    def _rewarding(self) -> StructuredPart:
        if self.gate_points + sum(c.weight for c in self.criteria) == 0:
            raise ValueError("nothing gives a point: allowed: gate_points or a criterion's weight above 0")
        return self


Level = Literal["L0", "L1", "L2", "L3", "L4", "L5", "L6", "single", "multi"]


class OpenEnvPart(Part):
    """An environment behind OpenEnv's WebSocket protocol, on this machine or another."""

    url: str = Field(pattern=r"^wss?://")  # such as ws://127.0.0.1:8000/ws
    train: Positive = 400  # tasks
    test: Positive = 100
    timeout: float = Field(30.0, gt=0)  # seconds that a reply may take


class FinqaPart(Part):
    """Questions about financial tables, answered with tools."""

    levels: tuple[Level, ...] = Field(
        ("L0", "L1", "L2", "L3", "L4", "single"), min_length=1
    )  # that training asks; all are evaluated. Real data says only whether one table is needed, or several
    recoveries: Fraction = 0.0  # share of demonstrations that show an error and how it is mended
    tested: Literal["test", "val"] = "test"  # the questions evaluated; val: to choose settings by
    curriculum: bool = False  # training begins with the first of `levels` and adds one after the other
    grading: Literal["strict", "openenv"] | None = (
        None  # None: strict in a made world, openenv for a public set
    )
    repeats: int | None = Field(3, ge=2)  # equal turns in a row that end an episode: the tools say the same
    submit: bool = False  # the answer is given to a tool `submit_answer`, not as a line FINAL ANSWER
    format: Literal["world", "rllm", "snorkel"] = "world"  # whose data: made here, or a public set's
    data: Path | None = None  # rllm: data.tar.gz or its folder; snorkel: its folder

    @property
    def graded(self) -> Literal["strict", "openenv"]:
        """How answers to the recipe's own questions are graded."""
        return self.grading or ("strict" if self.format == "world" else "openenv")

    @model_validator(mode="after")
    def _whole(self) -> FinqaPart:
        if self.format != "world" and self.data is None:
            raise ValueError(f"format `{self.format}` needs `data`, where it lies")
        if self.format == "world" and self.data is not None:
            raise ValueError("`data` goes with the formats rllm and snorkel: give `format` too")
        return self


class EnvironmentPart(Part):
    kind: str = "soap"  # soap | finqa | openenv | structured | module:attribute
    structured: StructuredPart | None = None
    finqa: FinqaPart | None = None
    openenv: OpenEnvPart | None = None
    options: dict[str, Any] = {}  # handed to a user's own environment
    max_turns: Positive = 1  # assistant turns of an episode; above 1 for an environment that replies

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        return known(kind, ("soap", "finqa", "openenv", "structured"))


MEMBERS = {"facts": (0, 0), "llm": (0, 0), "people": (0, 1), "ensemble": (2, 99)}  # kind -> fewest, most
OWN = "module:attribute"
KEYS_OF = {  # kind -> the keys that other kinds do not have
    "llm": {*ChatPart.model_fields, "rubric", "serve"},
    "people": {"labels", "members"},
    "ensemble": {"members", "rule", "threshold"},
    OWN: {"options"},
}


class MemberPart(ChatPart):
    """A judge. The keys of a chat model are those of kind `llm`."""

    kind: str = "facts"  # facts | llm | people | ensemble | module:attribute
    rubric: str = Field("soap", min_length=1)  # llm: a built-in rubric, or a YAML file
    serve: ServePart | None = None  # llm: a model that is served on this machine for as long as it is needed
    labels: Path | None = None  # people: the file of labels; `fivestones judge label` writes one
    # ensemble: two at least; people: who judges what has no label (none: it is unscored and waits for one)
    members: tuple[MemberPart, ...] = ()
    # ensemble; gate: of two members the first decides which outputs the second one sees
    rule: Literal["mean", "minimum", "vote", "gate"] = "mean"
    threshold: Fraction = 0.5  # ensemble: what passes a vote or a gate
    options: dict[str, Any] = {}  # module:attribute: handed to it

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        return known(kind, MEMBERS)

    @model_validator(mode="after")
    def _whole(self) -> MemberPart:
        kind = self.kind if self.kind in MEMBERS else OWN
        for name, field in MemberPart.model_fields.items():
            owners = [k for k, keys in KEYS_OF.items() if name in keys]
            if owners and kind not in owners and getattr(self, name) != field.default:
                raise ValueError(f"{name} goes with kind {' or '.join(owners)}, not with `{self.kind}`")
        if self.serve and (self.endpoints or self.model):
            raise ValueError("give `serve`, or `endpoints` and `model`, not both")
        if kind == "llm" and not self.serve and not (self.endpoints and self.model):
            raise ValueError(
                "kind `llm` needs `endpoints` (at least one) and `model` (its name there), or `serve`"
            )
        if kind == "people" and self.labels is None:
            raise ValueError("kind `people` needs `labels`, the file of labels")
        least, most = (2, 2) if self.rule == "gate" else MEMBERS.get(kind, (0, 0))
        if not least <= len(self.members) <= most:
            allowed = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"{len(self.members)} members of kind {self.kind}; allowed: {allowed}")
        return self

    @property
    def judges(self) -> tuple[MemberPart, ...]:
        """This one, its members, and theirs."""
        return (self, *(below for member in self.members for below in member.judges))


class JudgePart(MemberPart):
    retries: Natural = 1  # times that what a judge left unscored is asked again
    # seconds before the first retry, five times as long before each next; the built-in judge needs none
    wait: float = Field(1.0, ge=0, le=60)


class WatchPart(Part):
    """A second judge, which never rewards, looks at a sample of the rollouts: the hacking alarm."""

    judge: JudgePart
    every: Positive = 2  # steps between two looks; at least 6 looks are needed to tell anything
    sample: int = Field(16, ge=2)  # rollouts of a look
    share: Fraction = 1 / 3  # of the training judge's gain that must reach the second judge
    alpha: float = Field(0.05, gt=0, lt=1)  # chance that a sound run raises an alarm


class GenerationPart(Part):
    max_tokens: Positive = 192
    max_prompt_tokens: Positive | None = (
        None  # longer train prompts are left out and counted; None: the context
    )
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    template: dict[str, Any] = {}


class WarmupPart(Part):
    kind: Literal["auto", "references", "self", "none"] = (
        "references"  # auto: only when the gate rate is under 10%
    )
    references: Natural = 48  # rows of train whose reference output may be imitated
    passes: Positive = 4
    target: Fraction = 0.6  # gate rate at which self warm-up stops
    constrained: bool = True  # self warm-up samples only what keeps to the JSON Schema of the output
    batch: Positive = 8  # sequences an update
    lr: Rate = 1e-4


class RolloutPart(Part):
    group_size: int = Field(8, ge=2)  # G: advantages compare rollouts of one task
    temperature: float = Field(1.0, gt=0)
    slots: Positive = 32  # sequences decoded at once


class TrainPart(Part):
    steps: Natural = 40
    tasks_per_step: Positive = 4  # B
    lr: Rate = 1e-5
    warmup_steps: Natural = 3  # linear learning-rate warm-up
    # gdpo: each part of the reward is normalised by itself; for jobs with a rubric
    scale: Literal["batch_std", "group_std", "none", "gdpo"] = "batch_std"
    scale_floor: float = Field(0.1, gt=0)
    # of advantages below 0: under 1, successes count more than failures; 0 learns from successes alone
    negative_weight: Fraction = 1.0
    min_contrast: float = Field(0.0, ge=0)  # a group whose reward std is not above this gives no gradient
    refill: Natural = 1  # extra rounds of new tasks to replace groups without contrast
    clip_low: Rate = 0.2
    clip_high: Rate = 0.28
    kl: float = Field(0.0, ge=0)  # k3 coefficient against the warm-up weights
    length_soft: Fraction = 0.9  # share of max_tokens after which a linear length penalty starts
    length_penalty: float = Field(0.5, ge=0)  # its size at max_tokens
    grad_clip: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    token_budget: Positive = 2048  # tokens of one packed row
    max_unscored: Fraction = 0.02
    checkpoint_every: Positive = 10
    keep_checkpoints: Positive = 1
    log_rollouts: bool = True


class EvaluatePart(Part):
    contestants: tuple[Literal["base", "base_examples", "imitation", "trained"], ...] = Field(
        ("base", "base_examples", "imitation", "trained"), min_length=1
    )
    tasks: Natural = 0  # 0 = the whole test split
    examples: Positive = 2  # in the prompt of base_examples
    imitation_passes: Positive = 8  # more passes over the warm-up references
    slots: Positive = 32
    margin: float = Field(0.1, ge=0)  # non-inferiority margin in points
    draws: Positive = 10_000
    max_unscored: Fraction = 0.005
    extra: dict[str, Path] = {}  # name -> JSONL of real cases (`dialogue`, `note`)

    @field_validator("contestants")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"`{twice[0]}` is given twice; give it once")
        return names

    @field_validator("extra")
    @classmethod
    def _named(cls, extra: dict[str, Path]) -> dict[str, Path]:
        for name in extra:
            if name == "test":
                raise ValueError("`test` is the name of the recipe's own test split; choose another")
            if not re.match(NAME, name):
                raise ValueError(f"got the name {name!r}; allowed: letters, digits, `_`, `.` and `-`")
        return extra


class Recipe(Part):
    name: Annotated[str, Field(pattern=NAME)]
    seed: Natural = 0
    threads: Natural = 0  # 0 = all cores
    # folders of the user's own modules; empty: the recipe's, so that its copy in a run finds them too
    modules: tuple[Path, ...] = ()
    environment: EnvironmentPart = EnvironmentPart()
    synth: SynthPart | None = None
    world: WorldPart | None = None
    files: FilesPart | None = None
    model: ModelPart = ModelPart()
    judge: JudgePart = JudgePart()
    watch: WatchPart | None = None
    generation: GenerationPart = GenerationPart()
    warmup: WarmupPart = WarmupPart()
    rollout: RolloutPart = RolloutPart()
    train: TrainPart = TrainPart()
    evaluate: EvaluatePart = EvaluatePart()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        self._data()
        kind, structured = self.environment.kind, self.environment.structured
        if kind == "structured" and structured is None:
            raise ValueError("environment.kind is `structured`: give `environment.structured`")
        if kind != "structured" and structured is not None:
            raise ValueError(f"environment.structured goes with kind `structured`, not `{kind}`")
        for name in ("finqa", "openenv"):
            if kind != name and getattr(self.environment, name) is not None:
                raise ValueError(f"environment.{name} goes with kind `{name}`, not `{kind}`")
        if kind in ("finqa", "openenv") and self.environment.max_turns == 1:
            raise ValueError(
                f"environment.max_turns is 1, which leaves kind `{kind}` no turn after a tool's reply; "
                "allowed: 2 and more, such as 20"
            )
        if self.warmup.kind == "references" and self.warmup.references == 0:
            raise ValueError("warmup.kind `references` needs warmup.references above 0")
        self._imitates()
        return self

    def _imitates(self) -> None:
        """Nothing is imitated where no data says how a question is answered with tools."""
        finqa = self.environment.finqa
        if self.environment.kind != "openenv" and (finqa is None or finqa.format == "world"):
            return
        data = f"environment.finqa.format `{finqa.format}`" if finqa else "environment.kind `openenv`"
        shown = [name for name in self.evaluate.contestants if name in ("base_examples", "imitation")]
        if self.warmup.kind in ("references", "auto") or shown:
            raise ValueError(
                f"{data} has answers, but no episodes to imitate (got warmup.kind `{self.warmup.kind}` and "
                f"the contestants {', '.join(self.evaluate.contestants)}); write `warmup: {{kind: self}}` "
                "or `warmup: {kind: none}`, and `evaluate: {contestants: [base, trained]}`"
            )

    def _data(self) -> None:
        """Exactly one source of data, which suits the environment."""
        kind, finqa = self.environment.kind, self.environment.finqa
        given = [name for name in ("synth", "world", "files") if getattr(self, name) is not None]
        if kind == "openenv" or (finqa and finqa.data):
            if given:
                raise ValueError(
                    f"{given[0]}: environment.kind `{kind}` brings its own data here; leave it out "
                    f"({given[0]}=null, where a profile gives it)"
                )
            return
        if kind == "finqa":
            if given != ["world"]:
                raise ValueError("environment.kind `finqa` needs `world`, or environment.finqa.data")
            if self.world and finqa and finqa.tested == "val" and not self.world.val + self.world.multi_val:
                raise ValueError("environment.finqa.tested is `val`, and world.val is 0: ask for some")
            return
        if self.world:
            raise ValueError(f"world makes data for environment.kind `finqa`, not `{kind}`")
        if len(given) != 1:
            raise ValueError("give exactly one of `synth` (made data) and `files` (your own data)")
        if kind != "soap" and self.synth is not None:
            raise ValueError(f"synth makes data for environment.kind `soap`, not `{kind}`: give `files`")
