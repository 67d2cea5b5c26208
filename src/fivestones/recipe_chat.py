"""The recipe's keys for a chat model behind endpoints: where it is, what is asked of it, and how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fivestones.recipe_part import Part, Positive

Output = Literal["schema", "json", "text"]
"""How a server is held to the form of an answer: JSON Schema, any JSON object, or the prompt alone."""


OWN = frozenset({"max_tokens", "messages", "model", "n", "response_format", "stream", "temperature"})
"""Keys of a request that `extra` must not set."""


class EndpointPart(Part):
    """An OpenAI-compatible server."""

    url: str  # base, as in http://127.0.0.1:8000/v1; what is named here is the only place that is asked
    api_key_env: str | None = Field(None, min_length=1)  # variable of the environment that holds the key

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"got {url!r}: {error}; allowed: http(s)://host[:port][/path]") from error
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL with a user or password; allowed: a key by `api_key_env`")
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise ValueError(f"got {url!r}; allowed: http(s)://host[:port][/path]")
        return url.rstrip("/")


class RequestPart(Part):
    """What every request says beside its messages."""

    output: Output = "schema"
    temperature: float = Field(0.0, ge=0)
    max_tokens: Positive = 512
    extra: dict[str, Any] = {}  # further keys of the request; null takes a key out

    @field_validator("extra")
    @classmethod
    def _further(cls, extra: dict[str, Any]) -> dict[str, Any]:
        """Nothing that the client counts on: what is asked, of whom, how much, and how it comes back."""
        out = {"temperature"}  # which some models refuse, and null takes out
        if isinstance(extra.get("max_completion_tokens"), int):
            out.add("max_tokens")
        taken_out = {name for name in out if name in extra and extra[name] is None}
        if own := sorted(OWN.intersection(extra) - taken_out):
            raise ValueError(
                f"`{own[0]}` is not for `extra`; allowed: other keys, `temperature: null`, and `max_tokens: "
                "null` beside `max_completion_tokens`"
            )
        return extra


class LimitsPart(Part):
    """Times in seconds."""

    timeout: float = Field(60.0, gt=0)  # of one attempt
    deadline: float = Field(180.0, gt=0)  # from asking to giving up, with waiting and all attempts
    attempts: Positive = 4
    backoff: float = Field(0.5, gt=0)  # before the second attempt, twice as long before each next; jittered
    concurrency: Positive = 8  # requests under way at each endpoint, to begin with
    most: Positive = 64  # and when all goes well

    @model_validator(mode="after")
    def _growing(self) -> LimitsPart:
        if self.concurrency > self.most:
            raise ValueError(
                f"concurrency {self.concurrency} is above most {self.most}; allowed: at most as much"
            )
        return self


class BudgetPart(Part):
    """Of a model, over all runs and resumes that share a cache. None: unlimited."""

    tokens: Positive | None = None  # of prompts and answers
    money: float | None = Field(None, gt=0)  # in the currency of the prices
    input_price: float = Field(0.0, ge=0)  # of a million tokens of prompt
    output_price: float = Field(0.0, ge=0)  # of a million tokens of answer

    @model_validator(mode="after")
    def _priced(self) -> BudgetPart:
        if self.money is not None and not self.input_price + self.output_price:
            raise ValueError("money needs a price: allowed: input_price or output_price above 0")
        return self


class ChatPart(Part):
    """A chat model."""

    endpoints: tuple[EndpointPart, ...] = ()  # all serve the same model
    model: str | None = Field(None, min_length=1)  # its name at the endpoints
    request: RequestPart = RequestPart()
    limits: LimitsPart = LimitsPart()
    budget: BudgetPart = BudgetPart()
    cache: Path | None = None  # of replies; None: in the run directory

    @field_validator("endpoints")
    @classmethod
    def _once(cls, endpoints: tuple[EndpointPart, ...]) -> tuple[EndpointPart, ...]:
        urls = [endpoint.url for endpoint in endpoints]
        if twice := [url for url in urls if urls.count(url) > 1]:
            raise ValueError(f"`{twice[0]}` is given twice; give it once")
        return endpoints


class TeacherRequestPart(RequestPart):
    temperature: float = Field(0.7, ge=0)  # not always the same words
    max_tokens: Positive = 4096  # of a long dialogue


class TeacherLimitsPart(LimitsPart):
    timeout: float = Field(180.0, gt=0)
    deadline: float = Field(1800.0, gt=0)  # many wait for their turn


MENDABLE = ("endpoints", "limits", "budget", "cache", "scenarios")
"""Of a teacher: where and at what cost it is asked, which may change while its data is unfinished."""
MOST_SCENARIOS = 1000  # of a row


class TeacherPart(ChatPart):
    """A chat model that writes the texts of synthetic rows from their scenarios."""

    request: TeacherRequestPart = TeacherRequestPart()
    limits: TeacherLimitsPart = TeacherLimitsPart()
    writes: tuple[Literal["dialogue", "note"], ...] = Field(("dialogue", "note"), min_length=1)
    attempts: Positive = 3  # at each text of a scenario; then another scenario is drawn
    scenarios: int = Field(5, ge=1, le=MOST_SCENARIOS)  # drawn for one row before it is given up
    prompts: Path | None = None  # a YAML file of your own; None: the built-in ones

    @model_validator(mode="after")
    def _whole(self) -> TeacherPart:
        if not self.endpoints or self.model is None:
            raise ValueError("a teacher needs `endpoints` (at least one) and `model` (its name there)")
        if len(set(self.writes)) < len(self.writes):
            raise ValueError(f"`{self.writes[0]}` is given twice; give it once")
        return self
