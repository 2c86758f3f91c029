"""Plots as SVG inside the page, in colours that the page's style sets for light, dark and paper."""

from __future__ import annotations

import io
import itertools
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Stand-ins that matplotlib writes and the page's variables replace.
INK, FAINT, EAST, NORTH, CLIPPED, GRISM = (f"#0102{number:02x}" for number in range(6))
_VARIABLES = {INK: "ink", FAINT: "faint", EAST: "blue", NORTH: "orange", CLIPPED: "red", GRISM: "green"}

# Sizes are in CSS pixels: matplotlib's points at 72 to the inch.
_PER_INCH = 72.0
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
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


@dataclass
class Plotter:
    """Makes the figures of one page, each with names of its own for what SVG refers to."""

    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def style(self) -> Iterator[None]:
        """Return the style of the page's plots; matplotlib's own settings are as before afterwards."""
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            yield

    def figure(self, width: float, height: float) -> Figure:
        """Return an empty figure of a size in CSS pixels, of no window and no global list."""
        from matplotlib.figure import Figure

        return Figure(figsize=(width / _PER_INCH, height / _PER_INCH), dpi=_PER_INCH)

    def axes(self, figure: Figure, box: tuple[float, float, float, float], **keywords: Any) -> Axes:
        """Axes in a box (left, bottom, width, height) of CSS pixels: ten times as fast as a layout engine."""
        width, height = _PER_INCH * figure.get_size_inches()
        return figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), **keywords)

    def svg(self, figure: Figure, text: str) -> Markup:
        """Return a figure as an SVG element.

        Parameters
        ----------
        figure : Figure
            To draw.
        text : str
            What it shows, for those who can't see it.
        """
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        stream = io.StringIO()
        # savefig would draw everything twice
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(stream, metadata=_NO_METADATA)
        drawn = stream.getvalue()
        drawn = drawn[drawn.index("<svg") :]
        width, height = (round(_PER_INCH * side) for side in figure.get_size_inches())
        head = f'<svg role="img" aria-label="{escape(text)}" width="{width}" height="{height}"'
        box = f' viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink">'
        body = drawn[drawn.index(">") + 1 :]
        return Markup(head + box + _tidied(body, f"f{next(self._numbers)}-"))


_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _tidied(drawn: str, prefix: str) -> str:
    """SVG with the page's font and colours, and with names that no other figure of the page has."""
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"font-family: [^;\"]*|font: ([\d.]+px) [^;\"]*", _font, drawn)
    drawn = re.sub(r'\bid="(?!m|p|c)[^"]*"', "", drawn)
    drawn = re.sub(r'\bid="', f'id="{prefix}', drawn)
    drawn = drawn.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')
    for stand_in, name in _VARIABLES.items():
        drawn = drawn.replace(stand_in, f"var(--{name})")
    return re.sub(r"\n\s*", "\n", drawn)


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[1]}" if found[1] else "font-family: inherit"


def plain_title(axes: Axes, text: str) -> None:
    """Return a title in which nothing is taken as a formula."""
    axes.set_title(text, loc="left", parse_math=False)
