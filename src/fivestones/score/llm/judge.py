"""The LLM judge: one question for each field of each output, all of a group at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.chat.client import Ask, ChatClient, Said, Unanswered
from fivestones.chat.usage import Usage
from fivestones.recipe_chat import Output
from fivestones.score.llm.prompt import as_text, messages, response_format
from fivestones.score.llm.rubric import FAIL, Criterion, Rubric
from fivestones.score.llm.verdict import Opinion, Quotable, read_verdict
from fivestones.types import Task, Verdict

ABOUT = "judge"  # what a criterion adds to the request is in its words; weights are applied when it is read
NO_SOURCE = "no source to judge by"
NO_REFERENCE = "no reference to judge by"


class LlmJudge:
    """Implements protocols.Judge. Criteria are the field names, in [0, 1]; see `Criterion.value`.

    Reads of `task.reference`: "source" (the dialogue) and, for criteria that want it, "output" (object of
    field -> text). A text without any letter or digit fails without being asked about: some models pass a
    lone ":". May be called from several threads. Raises UsageError for fields that the rubric does not have.
    """

    def __init__(
        self, client: ChatClient, rubric: Rubric, fields: Sequence[str], output: Output = "schema"
    ) -> None:
        self.rubric = rubric
        self.fields = tuple(fields)
        self._client = client
        self._output = output
        self._criteria = {field: rubric.criterion(field) for field in self.fields}

    @property
    def usage(self) -> Usage:
        return self._client.usage

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        verdicts = []
        for opinions in self.explain(task, outputs):
            known = {f: o.value for f, o in opinions.items() if isinstance(o, Opinion)}
            unknown = {f: o.cause for f, o in opinions.items() if isinstance(o, Unanswered)}
            verdicts.append(Verdict(criteria=known, unscored=unknown))
        return verdicts

    def explain(
        self, task: Task, outputs: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Opinion | Unanswered]]:
        """The judge's words on each field of each output; what was judged before is not asked again."""
        found: list[dict[str, Opinion | Unanswered]] = [{} for _ in outputs]
        places, asks = [], []
        for i, output in enumerate(outputs):
            for field in self.fields:
                asked = self._ask(task, field, output.get(field))
                if isinstance(asked, Ask):
                    places.append((i, field))
                    asks.append(asked)
                else:
                    found[i][field] = asked
        answers = self._client.complete(asks)
        for (i, field), answer in zip(places, answers, strict=True):
            found[i][field] = answer
        return found

    def _ask(self, task: Task, field: str, value: object) -> Ask[Opinion] | Opinion | Unanswered:
        criterion = self._criteria[field]
        source = task.reference.get("source")
        if not isinstance(source, str) or not source.strip():
            return Unanswered(NO_SOURCE)
        reference = _reference(task, field) if criterion.reference else None
        if criterion.reference and reference is None:
            return Unanswered(NO_REFERENCE)
        if isinstance(value, str) and not any(map(str.isalnum, value)):
            return _nothing(criterion)
        body: dict[str, Any] = {
            "messages": messages(self.rubric, field, source=source, value=value, reference=reference)
        }
        if form := response_format(criterion, self._output):
            body["response_format"] = form
        texts = [source, as_text(value)] + [as_text(reference)] * criterion.reference
        quotable = Quotable.of(texts)

        def read(said: Said) -> Opinion:
            return read_verdict(said.text, criterion=criterion, quotable=quotable)

        return Ask(body=body, affinity=source, about=ABOUT, read=read)


def _reference(task: Task, field: str) -> object:
    output = task.reference.get("output")
    return output.get(field) if isinstance(output, Mapping) else None


def _nothing(criterion: Criterion) -> Opinion:
    """Of a text that says nothing."""
    reason = "The text has no letter and no digit."
    match criterion.kind:
        case "binary":
            return Opinion(0.0, reason, FAIL)
        case "graded":
            return Opinion(0.0, reason, 0)
        case "checklist":
            return Opinion(0.0, reason, dict.fromkeys(criterion.items, False))
