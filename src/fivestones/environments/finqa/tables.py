"""Tables of companies, every cell the text that the report displays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fivestones.environments.tool_use.tools import ToolError
from fivestones.errors import DataError, nearest

LISTED = 40  # names that an error lists


@dataclass(frozen=True, slots=True)
class Table:
    company: str
    name: str
    description: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]  # each as long as `columns`; None: an empty cell

    def __post_init__(self) -> None:
        where = f"table `{self.name}` of company `{self.company}`"
        if not self.columns:
            raise DataError(f"{where}: no columns")
        if len({column.casefold() for column in self.columns}) != len(self.columns):
            raise DataError(f"{where}: column names must differ, in more than case: {list(self.columns)}")
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise DataError(
                    f"{where}: row {index + 1} has {len(row)} cells, expected {len(self.columns)}"
                )
            for cell in row:
                if cell is not None and not isinstance(cell, str):
                    raise DataError(f"{where}: row {index + 1} holds {cell!r}; every cell is text, or null")


class Tables(Mapping[str, Mapping[str, Table]]):
    """company -> table name -> Table, in the order given. `of` and `table` are for agents: their ToolError
    says what is available."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._by_company: dict[str, dict[str, Table]] = {}
        for table in tables:
            of_company = self._by_company.setdefault(table.company, {})
            if any(table.name.casefold() == name.casefold() for name in of_company):
                raise DataError(f"company `{table.company}`: two tables are named `{table.name}`")
            of_company[table.name] = table

    def __getitem__(self, company: str) -> Mapping[str, Table]:
        return self._by_company[company]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_company)

    def __len__(self) -> int:
        return len(self._by_company)

    @property
    def companies(self) -> tuple[str, ...]:
        return tuple(self._by_company)

    def of(self, company: str) -> dict[str, Table]:
        if company not in self._by_company:
            raise ToolError(_unknown("company", "", company, self._by_company))
        return self._by_company[company]

    def table(self, company: str, name: str) -> Table:
        tables = self.of(company)
        if name not in tables:
            raise ToolError(_unknown("table", f" of company `{company}`", name, tables))
        return tables[name]


def clipped(text: str, longest: int = 80) -> str:
    """What an error repeats of a model's own words."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def _unknown(what: str, where: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    short = clipped(name)
    listed = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    return f"no {what} `{short}`{where}.{nearest(short, names)} Available: {listed}."
