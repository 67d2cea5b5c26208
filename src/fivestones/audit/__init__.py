"""The audit of a judge before it is trusted: agreement with people, bias, attacks, cost; and of people with
each other."""

from fivestones.audit.cases import Case, read_cases
from fivestones.audit.run import AuditSettings, audit

__all__ = ["AuditSettings", "Case", "audit", "read_cases"]
