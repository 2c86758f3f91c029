"""Where the spectra of a grism lie, and how far from there they were found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grism_align.values.declaration import declared, recorded

Floats = NDArray[np.float64]

_SAMPLES = 129  # of a trace, between which it is taken as straight


@declared()
class TraceCheck:
    """How far the spectra of one exposure lie from where its WCS says, across the dispersion."""

    n_sources: int = recorded("Sources whose spectra were used.")
    before_px: float = recorded(
        "Measured minus predicted place with the WCS before the correction; NaN where unmeasured.",
        unit="pixel",
    )
    before_error: float = recorded("Its standard error.", unit="pixel")
    after_px: float = recorded("The same with the correction.", unit="pixel")
    after_error: float = recorded("Its standard error.", unit="pixel")
    note: str = recorded("What the residuals are relative to, or why there are none.", default="")

    @classmethod
    def missing(cls, note: str) -> TraceCheck:
        """Return the check of an exposure that could not be measured."""
        nan = float("nan")
        return cls(0, nan, nan, nan, nan, note)

    @property
    def is_measured(self) -> bool:
        """Whether there is a residual."""
        return bool(np.isfinite(self.after_px))


@declared(eq=False)
class SpectrumPiece:
    """A piece of one spectrum in one exposure, to be looked at: without what spectra corrected."""

    source: int = recorded("Which one of the sources; the same in all exposures that were measured together.")
    along: Floats = recorded(
        "Pixels along the dispersion, from where the direct exposures' correction puts the source.",
        unit="pixel",
        shape=("c",),
    )
    light: Floats = recorded("Light near the trace at each of these.", unit="electron/s", shape=("c",))
    height: Floats = recorded(
        "Pixels across the dispersion, from where it puts the trace, on average.", unit="pixel", shape=("r",)
    )
    profile: Floats = recorded(
        "Light of the piece at each height, as a share of that near the trace.", shape=("r",)
    )


@declared(eq=False)
class SpectralCheck:
    """How the spectra of one exposure lie against those of others of the same grism, roll and field.

    Pairs are along and across the dispersion.
    """

    n_sources: int = recorded("Sources whose spectra were used.")
    moved_px: tuple[float, float] = recorded(
        "By how much they lie from where the direct exposures' correction puts them, which is corrected.",
        unit="pixel",
    )
    moved_error: tuple[float, float] = recorded("Standard error of what is left.", unit="pixel")
    left_px: tuple[float, float] = recorded(
        "Against the mean of the exposures after that: what is due to direct exposures rather than spectra.",
        unit="pixel",
    )
    left_error: tuple[float, float] = recorded("Standard error of the measurement.", unit="pixel")
    note: str = recorded("Why there is no measurement.", default="")
    group: int = recorded("Exposures with the same number were measured together.", default=0)
    pieces: tuple[SpectrumPiece, ...] = recorded("Of the spectra that tell most; two at most.", default=())

    @classmethod
    def missing(cls, note: str) -> SpectralCheck:
        """Return the check of an exposure that could not be measured."""
        unknown = (float("nan"), float("nan"))
        return cls(0, unknown, unknown, unknown, unknown, note)

    @property
    def is_measured(self) -> bool:
        """Whether there is an offset."""
        return bool(np.isfinite(self.moved_px).all())


def _terms(rows: ArrayLike) -> Floats:
    array = np.array(rows, dtype=float, ndmin=2)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class TraceModel:
    """The trace of one spectral order: offsets from a source's place to its spectrum.

    Offsets are polynomials of a parameter t, and their coefficients are polynomials of the source's place
    (x, y) on the chip, with the terms 1, x, y, x^2, xy, y^2, x^3, ...

    Parameters
    ----------
    dx, dy : (n, m) array_like, pixels
        Coefficients of the offsets, a row for each power of t.
    span : (low, high)
        Range of t.
    origin : (1, m) array_like
        What is taken off t in `dy`, a polynomial of the source's place.
    wedges : dict of str to (x, y), pixels
        Displacement of positions measured in a filter, which is taken off the offsets.
    name : str
        Where it comes from; empty for those that come with exposures or the package.
    curve : (n,) array_like, pixels
        What exposures showed to be missing in `dy`, a polynomial of t.
    tells_light : bool
        Whether one t is one wavelength all over the detector: in pixels, the offset along the dispersion that
        it has in the middle.
    """

    dx: Floats
    dy: Floats
    span: tuple[float, float]
    origin: Floats = field(default_factory=lambda: np.zeros((1, 1)))
    wedges: dict[str, tuple[float, float]] = field(default_factory=dict)
    name: str = ""
    curve: Floats = field(default_factory=lambda: np.zeros(1))
    tells_light: bool = False

    def __post_init__(self) -> None:
        for name in ("dx", "dy", "origin"):
            object.__setattr__(self, name, _terms(getattr(self, name)))
        object.__setattr__(self, "curve", _terms(self.curve)[0])

    @classmethod
    def straight(cls, start: float, end: float, offset: float, slope: float = 0.0) -> TraceModel:
        """Make a trace along x from `start` to `end`, `offset` above the source's row, growing by `slope`."""
        return cls(_terms([[0.0], [1.0]]), _terms([[offset], [slope]]), (start, end))

    def offsets(self, xy: ArrayLike, band: str = "") -> tuple[Floats, Floats]:
        """Points of the traces of sources, in the order of x.

        Parameters
        ----------
        xy : (N, 2) array_like, zero-based pixels
            Where the sources are in a direct image.
        band : str
            The filter that their positions were measured in.

        Returns
        -------
        dx, dy : (N, K) ndarray, pixels
            Offsets from the sources.
        """
        places = np.asarray(xy, dtype=float).reshape(-1, 2)
        t = self._parameters
        wedge = self.wedges.get(band, (0.0, 0.0))
        dx = _polynomial(_at(self.dx, places), t) - wedge[0]
        dy = _polynomial(_at(self.dy, places), t - _at(self.origin, places)) - wedge[1]
        dy = dy + _polynomial(self.curve[None, :], t)
        order = np.argsort(dx, axis=1, kind="stable")
        return np.take_along_axis(dx, order, axis=1), np.take_along_axis(dy, order, axis=1)

    def ahead(self, xy: ArrayLike) -> Floats:
        """By how much light lies farther along the dispersion than from the middle of the detector.

        Parameters
        ----------
        xy : (N, 2) array_like, zero-based pixels
            As for `offsets`, to whose points the result belongs.

        Returns
        -------
        (N, K) ndarray, pixels
            Zero where the model doesn't tell.
        """
        places = np.asarray(xy, dtype=float).reshape(-1, 2)
        t = self._parameters
        if not self.tells_light:
            return np.zeros((len(places), t.size))
        dx = _polynomial(_at(self.dx, places), t)
        return np.take_along_axis(dx - t, np.argsort(dx, axis=1, kind="stable"), axis=1)

    @property
    def _parameters(self) -> Floats:
        return np.linspace(*self.span, _SAMPLES)[None, :]

    def changing_less(self, share: float, place: ArrayLike) -> TraceModel:
        """Return the model with a share of what its heights change by over the detector.

        Parameters
        ----------
        share : float
            One leaves the model as it is; with zero, all traces are as at `place`.
        place : (2,) array_like, zero-based pixels
            Of a source whose trace stays where it is.

        Notes
        -----
        A model with an `origin` is returned as it is, as its `dy` is a polynomial of a distance that changes
        too.
        """
        if share == 1.0 or self.origin.any():
            return self
        dy = share * self.dy
        dy[:, 0] += (1.0 - share) * _at(self.dy, np.reshape(place, (1, 2)))[0]
        return replace(self, dy=dy)

    def transposed(self) -> TraceModel:
        """Return the model by pixels whose rows are its columns: x and y change their parts.

        Not of a model with an `origin`, whose `dy` is a polynomial of `dx`.
        """
        dx, dy = _swapped(self.dy), _swapped(self.dx)
        wedges = {band: (y, x) for band, (x, y) in self.wedges.items()}
        return replace(self, dx=dx, dy=dy, wedges=wedges)


@dataclass(frozen=True, eq=False)
class CoarseTrace:
    """Where the brightest order of a grism lies, roughly.

    Parameters
    ----------
    model : TraceModel
        Its trace.
    search : int, pixels
        Rows of the detector to either side of it in which it is looked for.
    zeroth : (first, last), pixels, optional
        From the place of a source to its zeroth order along the dispersion; None where there is none.
    stretch : (x, y), optional
        By how much longer a pixel of a spectrum is, beyond what the model says, where its source lies a
        thousand pixels farther; None where that isn't known.
    along_columns : bool
        Whether spectra run along columns. All else then is by pixels whose rows are the detector's columns.
    """

    model: TraceModel
    search: int
    zeroth: tuple[float, float] | None = None
    stretch: tuple[float, float] | None = None
    along_columns: bool = False


def _swapped(terms: Floats) -> Floats:
    """Return coefficients of polynomials of (y, x) of those of (x, y)."""
    degrees = int(np.ceil((np.sqrt(8.0 * terms.shape[1] + 1.0) - 1.0) / 2.0))
    whole = np.zeros((len(terms), degrees * (degrees + 1) // 2))
    whole[:, : terms.shape[1]] = terms
    first = [degree * (degree + 1) // 2 for degree in range(degrees + 1)]
    return np.concatenate([whole[:, low:high][:, ::-1] for low, high in pairwise(first)], axis=1)


def _at(terms: Floats, xy: Floats) -> Floats:
    """Polynomials of a place: (N, n) of (n, m) coefficients at (N, 2) places."""
    x, y = xy.T
    total, degree = np.zeros((len(xy), len(terms))), 0
    index = 0
    while index < terms.shape[1]:
        for power in range(degree + 1):
            if index < terms.shape[1]:
                total += (x ** (degree - power) * y**power)[:, None] * terms[None, :, index]
            index += 1
        degree += 1
    return total


def _polynomial(coefficients: Floats, t: Floats) -> Floats:
    """Values (N, K) of polynomials with (N, n) coefficients, by Horner's rule."""
    value = np.zeros(np.broadcast_shapes(t.shape, (len(coefficients), 1)))
    for power in reversed(range(coefficients.shape[1])):
        value = value * t + coefficients[:, power, None]
    return value
