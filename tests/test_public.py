"""The public face: what `fivestones` exports, and only that."""

from __future__ import annotations

import pytest

import fivestones


@pytest.mark.parametrize("name", sorted(set(fivestones.__all__) - {"__version__"}))
def test_every_name_of_all_is_the_api_s(name: str) -> None:
    api = pytest.importorskip("fivestones.api", exc_type=ImportError)
    assert getattr(fivestones, name) is getattr(api, name)
    assert callable(getattr(fivestones, name))


def test_dir_equals_all_and_other_names_are_not_there() -> None:
    assert dir(fivestones) == sorted(fivestones.__all__)
    with pytest.raises(AttributeError, match="trane"):
        fivestones.trane  # noqa: B018
