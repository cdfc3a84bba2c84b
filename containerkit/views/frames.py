"""Values as pandas frames. pandas is imported when the first one is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], index: str | None = None) -> pandas.DataFrame:
    """A frame with these columns, in this order, also when there are no rows."""
    import pandas

    made = pandas.DataFrame(list(rows), columns=list(columns))
    return made if index is None else made.set_index(index)
