"""Validate the docstrings of the public names, those of ``grism_align.__all__`` and their methods.

``python docs/docstrings.py`` prints what numpydoc has against them; the exit code is 1 if there is anything.
"""

from __future__ import annotations

import inspect
import sys
from enum import Enum
from typing import TYPE_CHECKING

from numpydoc.validate import validate
from stpipe import Step

import grism_align

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAYOUT = {"GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08", "GL10"}
_SUMMARY = {"SS01", "SS02", "SS03", "SS04", "SS05"}
_SECTIONS = {"PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR10", "RT01", "YD01"}
_CHECKS = _LAYOUT | _SUMMARY | _SECTIONS


def public_names() -> Iterator[str]:
    """Yield the dotted names of everything public, methods and properties included."""
    for name in grism_align.__all__:
        if name == "__version__":
            continue
        yield f"grism_align.{name}"
        thing = getattr(grism_align, name)
        # the hooks of steps are described where the base declares them
        has_own = inspect.isclass(thing) and not issubclass(thing, Step)
        members = vars(thing).items() if has_own else ()
        for member, value in members:
            is_documented = callable(value) or isinstance(value, property | classmethod | staticmethod)
            if is_documented and not member.startswith("_"):
                yield f"grism_align.{name}.{member}"


def faults(name: str) -> list[str]:
    """Return what numpydoc has against one docstring."""
    thing = getattr(grism_align, name.split(".")[1])
    # the signature of steps is stpipe's, that of enumerations Python's
    inherits_init = name.count(".") == 1 and inspect.isclass(thing) and issubclass(thing, Step | Enum)
    checks = _CHECKS - {"PR01"} if inherits_init else _CHECKS
    return [f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code in checks]


def main() -> int:
    """Print all faults; return the exit code."""
    found = [fault for name in public_names() for fault in faults(name)]
    print("\n".join(found) or "Every public name is documented")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
