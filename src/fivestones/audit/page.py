"""The part of a report that shows an audit: HTML for the report's own page and style sheet."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fivestones.audit import words


def audit_section(found: words.Json) -> Markup:
    """found: what `audit` returned, or its JSON. All text is escaped."""
    environment = Environment(
        loader=PackageLoader("fivestones.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("audit.html.j2")
    return Markup(template.render(found=found, words=words))  # escaped by the template
