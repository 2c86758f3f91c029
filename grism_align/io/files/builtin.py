"""Values as Python's own types."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import Enum
from typing import Any

import numpy as np


def to_builtin(value: Any) -> Any:
    """Return a value in types that every reader of YAML or JSON knows.

    Mappings become dicts with str keys; sequences, sets and arrays become lists; numpy numbers and
    enumerations become the numbers or texts they hold; anything else, paths say, becomes its text.

    Parameters
    ----------
    value : object
        Settings, counts or meta.

    Returns
    -------
    None, bool, int, float, str, list or dict
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Set):
        value = sorted(value, key=str)
    if isinstance(value, Mapping):
        return {str(key): to_builtin(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_builtin(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return next((kind(value) for kind in (int, float, str) if isinstance(value, kind)), str(value))
