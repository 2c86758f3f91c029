"""Plots, as SVG in the colours that a page's style sets for light, dark and paper, and as files."""

from __future__ import annotations

import io
import itertools
import re
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


# The page's colours on white, in which files are drawn; in SVG the page's variables replace them.
INK, FAINT, EAST, NORTH, CLIPPED, GRISM = "#1b1f24", "#69707a", "#0068a8", "#c56500", "#c2182b", "#007d5c"
PAGE = "#fffffe"
_VARIABLES = {
    INK: "ink",
    FAINT: "faint",
    PAGE: "page",
    EAST: "blue",
    NORTH: "orange",
    CLIPPED: "red",
    GRISM: "green",
}

# Sizes are in CSS pixels: matplotlib's points at 72 to the inch.
_PER_INCH = 72.0
# Files have so many pixels for one.
_FINER = 3
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "grism_align",
    "font.size": 11.0,
    "axes.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.0,
    "axes.titlecolor": INK,
    "axes.formatter.useoffset": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "lines.linewidth": 1.3,
    "path.simplify": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of all plots; matplotlib's own settings are as before afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in CSS pixels, of no window and no global list."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / _PER_INCH, height / _PER_INCH), dpi=_PER_INCH)


def new_axes(figure: Figure, box: tuple[float, float, float, float], **keywords: Any) -> Axes:
    """Axes in a box (left, bottom, width, height) of CSS pixels: ten times as fast as a layout engine."""
    width, height = _PER_INCH * figure.get_size_inches()
    return figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), **keywords)


def plain_title(axes: Axes, text: str) -> None:
    """Give axes a title in which nothing is taken as a formula."""
    axes.set_title(text, loc="left", parse_math=False)


def dots(axes: Axes, xy: ArrayLike, color: str, size: float, alpha: float = 1.0) -> None:
    """Draw points (N, 2) into axes whose limits are set, as one path: a tenth of what so many marks take."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    places = np.asarray(xy, dtype=float)
    places = places[np.isfinite(places).all(axis=1)]
    if len(places):
        # a line of no length is left out by some
        low, high = axes.get_xlim()
        ends = np.repeat(places, 2, axis=0)
        ends[1::2, 0] += 1e-3 * (high - low)
        curve = Curve(ends, np.tile([Curve.MOVETO, Curve.LINETO], len(places)))
        patch = PathPatch(curve, fill=False, ec=color, lw=size, alpha=alpha, capstyle="round")
        # snapped to pixels, they would have no length
        patch.set_snap(False)
        # add_patch would look where each line is, to set limits
        axes.add_artist(patch)


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot and what is to be said of it; notebooks show it.

    Parameters
    ----------
    name : str
        For the name of a file.
    title, caption : str
        Above and below it.
    figure : matplotlib.figure.Figure
        What is drawn.
    text : str
        What it shows, for those who can't see it.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    text: str

    def __repr__(self) -> str:
        return f"<Plot {self.name}: {self.title}>"

    def save(self, target: PathLike[str] | str, form: str | None = None) -> None:
        """Write it, with its title.

        Parameters
        ----------
        target : path-like
            Where to.
        form : str, optional
            ``png``, ``pdf`` or ``svg``; what the name ends with if not given.
        """
        path = Path(target)
        path.write_bytes(self.drawn(form or path.suffix[1:] or "png"))

    def drawn(self, form: str) -> bytes:
        """Return it as a file has it, with its title.

        Parameters
        ----------
        form : str
            ``png``, ``pdf`` or ``svg``.
        """
        stream = io.BytesIO()
        with style():
            title = self.figure.text(
                0.0, 1.0, f"{self.title}\n", va="center", weight="bold", parse_math=False
            )
            try:
                self.figure.savefig(
                    stream,
                    format=form,
                    dpi=_FINER * _PER_INCH,
                    facecolor="white",
                    bbox_inches="tight",
                    pad_inches=0.08,
                )
            finally:
                title.remove()
        return stream.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return it for notebooks, sharp on fine screens, at the size that it has on a page."""
        drawn = self.drawn("png")
        # of the header chunk, the first of each PNG
        width, height = struct.unpack(">II", drawn[16:24])
        return drawn, {"width": round(width / _FINER), "height": round(height / _FINER)}


@dataclass
class Plotter:
    """Puts plots into one page, each with names of its own for what SVG refers to."""

    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def svg(self, plot: Plot) -> Markup:
        """Return a plot as an SVG element.

        Parameters
        ----------
        plot : Plot
            To draw.
        """
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        stream = io.StringIO()
        # savefig would draw everything twice
        canvas: Any = FigureCanvasSVG(plot.figure)
        with style():
            canvas.print_svg(stream, metadata=_NO_METADATA)
        drawn = stream.getvalue()
        drawn = drawn[drawn.index("<svg") :]
        width, height = (round(_PER_INCH * side) for side in plot.figure.get_size_inches())
        head = f'<svg role="img" aria-label="{escape(plot.text)}" width="{width}" height="{height}"'
        box = f' viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink">'
        body = drawn[drawn.index(">") + 1 :]
        return Markup(head + box + _tidied(body, f"f{next(self._numbers)}-"))


_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _tidied(drawn: str, prefix: str) -> str:
    """SVG with the page's font and colours, and with names that no other figure of the page has."""
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"font-family: [^;\"]*|font: ([\d.]+px) [^;\"]*", _font, drawn)
    drawn = re.sub(r' id="(?!m|p|c)[^"]*"', "", drawn)
    for before in (' id="', "url(#", 'href="#'):
        drawn = drawn.replace(before, before + prefix)
    drawn = re.sub(r"(?<=\.\d\d)\d+", "", drawn)
    for color, name in _VARIABLES.items():
        drawn = drawn.replace(color, f"var(--{name})")
    return re.sub(r"\n\s*", "\n", drawn)


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[1]}" if found[1] else "font-family: inherit"
