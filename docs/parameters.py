"""Keep the parameter tables of the pages as the package declares the parameters.

A table stands between ``<!-- parameters: GROUP -->`` and ``<!-- end -->``, where GROUP is a class of
`grism_align.values.settings`. Run ``python docs/parameters.py`` after changing a declaration.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from grism_align.values.settings import Parameter

_BLOCK = re.compile(r"(<!-- parameters: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_HEADINGS = ("parameter", "default", "unit", "allowed", "what it does")


def table(group: str) -> str:
    """Markdown table of the parameters of one settings group.

    Parameters
    ----------
    group : str
        Name of the class.
    """
    rows = [_HEADINGS, ("---",) * len(_HEADINGS)]
    rows += [_row(parameter) for parameter in settings.parameters_of(getattr(settings, group))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _row(parameter: Parameter) -> tuple[str, ...]:
    default = f"`{_text(parameter.default)}`" if parameter.default not in (None, ()) else "none"
    choices = ", ".join(f"`{choice}`" for choice in parameter.choices)
    allowed = (
        choices
        or parameter.bounds
        or {bool: "true, false", str: "text", tuple: "texts"}.get(parameter.kind, "any")
    )
    return (f"`{parameter.name}`", default, parameter.unit or "-", allowed, parameter.help)


def _text(default: object) -> str:
    return ", ".join(default) if isinstance(default, tuple) else str(default)


def updated(page: str) -> str:
    """Return the text of a page with every table as the package declares it now."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[4]}", page)


def keep(updated: Callable[[str], str], script: str) -> int:
    """Write the tables of all pages, or only tell which are stale; the exit code.

    Parameters
    ----------
    updated : callable
        The text of a page with the tables as they should be.
    script : str
        What makes them.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if a table is stale"
    )
    check = parser.parse_args().check
    stale = False
    for path in sorted(Path(__file__).parent.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = updated(before)
        if after == before:
            continue
        stale = True
        print(f"{path}: {f'stale; run {script}' if check else 'updated'}")
        if not check:
            path.write_text(after, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(keep(updated, "docs/parameters.py"))
