"""The report: one self-contained offline HTML page, and Markdown for the terminal, from a run directory."""

from fivestones.report.page import markdown, write_report

__all__ = ["markdown", "write_report"]
