from __future__ import annotations

import json
import re

import pytest
from audited import Judged, cases, perfect

from fivestones.audit import AuditSettings, audit
from fivestones.audit.page import audit_section

QUICK = AuditSettings(draws=20)
ATTACKS = {
    "mode": "facts",
    "cases": 2,
    "passed": 1,
    "failed": 1,
    "unknown": 1,
    "attacks": {
        "reference": {
            "status": "passes",
            "mean": 1.0,
            "low": 0.9,
            "high": 1.0,
            "worst": 0.98,
            "bound": 0.97,
            "cases": 2,
            "n": 8,
            "unscored": 0,
        },
        "empty": {
            "status": "fails",
            "mean": 0.5,
            "low": None,
            "high": None,
            "worst": 1.0,
            "bound": 0.01,
            "cases": 2,
            "n": 8,
            "unscored": 0,
        },
        "none": {
            "status": "unknown",
            "mean": None,
            "low": None,
            "high": None,
            "worst": None,
            "bound": 0.1,
            "cases": 0,
            "n": 0,
            "unscored": 4,
        },
    },
}


def test_the_page_shows_every_part() -> None:
    found = {**audit(perfect(), cases(), QUICK, name="facts"), "adversarial": ATTACKS}
    page = str(audit_section(json.loads(json.dumps(found))))
    for told in ("96 outputs of 24 dialogues", "FactualF1", "any_hallucination", "asked again", "latency"):
        assert told in page
    assert "at least 0.97" in page and "below 0.01" in page
    assert "unscored</th>" in page and "<td>0</td><td>0</td><td>4</td>" in page
    assert (
        page.count('class="tag bad"') == page.count('class="tag good"') == page.count('class="tag none"') == 1
    )
    assert len(re.findall("<table", page)) == len(re.findall("</table>", page)) == 4


def test_what_is_absent_is_a_dash_and_no_zero() -> None:
    silent = Judged(lambda task, output: None)
    found = {**audit(silent, cases(), QUICK, name="x"), "adversarial": None}
    page = str(audit_section(found))
    assert "timeout: 96" in page and "–" in page and "0.00" not in page.replace("0.00]", "")
    bare = {**audit(silent, cases(), AuditSettings(draws=5, probes=0), name="x"), "adversarial": None}
    assert str(audit_section(bare)).count("<table") == 2


@pytest.mark.parametrize("hostile", ['<script>alert("x")</script>'])
def test_text_is_escaped(hostile: str) -> None:
    found = {**audit(perfect(), cases(), QUICK, name=hostile), "adversarial": None}
    page = str(audit_section(found))
    assert hostile not in page and "&lt;script&gt;" in page
