"""Pages for a browser, each one file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.staging import atomic_path
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment, Template


@dataclass(frozen=True)
class PageFiles:
    """The files that pages of a package are made of.

    Parameters
    ----------
    package : str
        In which they lie.
    filters : mapping of str to callable, optional
        What templates write values with.
    """

    package: str
    filters: Mapping[str, Callable[..., str]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the text of a file."""
        return resources.files(self.package).joinpath(name).read_text(encoding="utf-8")

    def template(self, name: str) -> Template:
        """Return a file as a template, in which texts are texts, whatever they hold."""
        return self._environment.get_template(name)

    @cached_property
    def _environment(self) -> Environment:
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(self.text),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(self.filters)
        return environment


def beside(provenance: Path | str, ending: str) -> Path:
    """Return where a page of a record is, if it is beside it: ``PRODUCT_ENDING``."""
    path = Path(provenance)
    return path.with_name(f"{path.stem.removesuffix('_provenance')}_{ending}")


def write_page(page: str, target: Path, remedy: str = "Give another file") -> Path:
    """Write a page; the file is the old one or the whole new one.

    Parameters
    ----------
    page : str
        Its text.
    target : Path
        The file.
    remedy : str, optional
        What to do where it can't be written.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    try:
        with atomic_path(target) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(target, f"can't be written ({error})", remedy) from error
    return target
