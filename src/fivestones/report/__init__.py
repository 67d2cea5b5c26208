"""The report of a run directory: one self-contained offline HTML page, and a short Markdown of it."""

from fivestones.report.page import write_report

__all__ = ["write_report"]
