"""The usual programs: pairs of a direct and a grism exposure, and others, in one or two visits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grism_align.simulation.instruments import INSTRUMENTS
from grism_align.simulation.plan import (
    PointingErrors,
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
)

# A box of sub-pixel dithers, and dithers of several arcsec
_BOX = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212), (-0.474, 0.788))
_WIDE = ((0.0, 0.0), (8.1, 2.3), (5.2, -6.4), (-3.1, 5.7))

_SMALL = ((0.0, 0.0), (0.5, 0.3), (1.0, 0.6), (1.5, 0.9))

_STEPS = ((0.0, 0.0), (3.1, 1.4), (1.2, 3.6), (4.0, 4.7))
_BETWEEN = ((0.6, 0.9), (2.3, 2.7))

_ANGLES = (35.0, 52.0)
# Detectors far from the one that is aimed with would see another sky in the second visit
_ALIKE = {"roman_wfi": (35.0, 35.6)}

# The jitter of NIRCam's detectors is one for all of an instant, grism or not: 6 mas an axis
_ERRORS = {
    "niriss": PointingErrors(shift=(0.15, 0.9), roll=(0.003, 0.015)),
    "roman_wfi": PointingErrors(shift=(0.1, 0.4), roll=(0.003, 0.01), jitter=0.07),
    "nircam": PointingErrors(shift=(0.12, 0.5), roll=(0.003, 0.012), jitter=0.1, jitter_of_grisms=True),
}


def usual_scene(instrument: str, size: int | tuple[int, int] | None = None) -> SceneSettings:
    """Return sources for a field of an instrument: enough stars even on a small cut.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    size : int or (ny, nx), optional
        Pixels of a cut.
    """
    camera = INSTRUMENTS[instrument]
    ny, nx = camera.shape if size is None else np.broadcast_to(size, 2)
    area = camera.n_chips * int(ny) * int(nx) * (camera.pixel / 60) ** 2
    # up to a limit: what lies around a small cut counts too, because a grism disperses it in
    return SceneSettings(
        star_density=float(np.clip(40.0 / area, 10.0, 200.0)),
        galaxy_density=float(np.clip(60.0 / area, 90.0, 300.0)),
    )


def usual_errors(instrument: str) -> PointingErrors:
    """Return how wrong pointings are: those of JWST and Roman are less so than those of HST.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    """
    return _ERRORS.get(instrument, PointingErrors())


def _direct(instrument: str, visit: int, dither: tuple[float, float] = (0.0, 0.0)) -> SimulatedExposure:
    """Return a direct exposure in the filter of the first (0) or second (1) visit."""
    usual = INSTRUMENTS[instrument].usual
    return SimulatedExposure(usual.visits[visit][0], usual.times[0], dither)


def _grism(
    instrument: str, visit: int, number: int, dither: tuple[float, float] = (0.0, 0.0)
) -> SimulatedExposure:
    """Return the grism exposure of a number in its visit, whose grisms take turns."""
    usual = INSTRUMENTS[instrument].usual
    grisms = usual.visits[visit][1]
    return SimulatedExposure(grisms[number % len(grisms)], usual.times[1], dither)


def _pairs(
    instrument: str, visit: int, n_pairs: int, dithers: tuple[tuple[float, float], ...]
) -> tuple[SimulatedExposure, ...]:
    """Return a direct and a grism exposure at each dither."""
    exposures: list[SimulatedExposure] = []
    for number in range(n_pairs):
        dither = dithers[number % len(dithers)]
        exposures += [_direct(instrument, visit, dither), _grism(instrument, visit, number, dither)]
    return tuple(exposures)


def _simulation(
    instrument: str,
    size: int | tuple[int, int] | None,
    exposures: tuple[tuple[SimulatedExposure, ...], ...],
    errors: PointingErrors | None,
    scene: SceneSettings | None,
) -> Simulation:
    """Return a field seen by visits of other angles and, by a tenth of the chip's width, other pointings."""
    camera = INSTRUMENTS[instrument]
    width = float((camera.shape if size is None else np.broadcast_to(size, 2))[1]) * camera.pixel
    visits = tuple(
        SimulatedVisit(
            f"{number + 1:02d}",
            visit_exposures,
            angle=_ALIKE.get(instrument, _ANGLES)[number % 2],
            offset=(0.12 * width * (number % 2), -0.07 * width * (number % 2)),
            start=camera.usual.starts[number % 2] + 120.0 * (number // 2),
        )
        for number, visit_exposures in enumerate(exposures)
    )
    return Simulation(
        instrument,
        visits,
        size=size,
        scene=scene or usual_scene(instrument, size),
        errors=errors or usual_errors(instrument),
    )


def case_a(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    n_pairs: int = 2,
    n_visits: int = 2,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan visits with one filter and one grism, a direct exposure before each grism exposure.

    Parameters
    ----------
    instrument : str
        ``wfc3_ir``, ``wfc3_uvis``, ``acs_wfc``, ``niriss``, ``nircam`` or ``roman_wfi``.
    size : int or (ny, nx), optional
        Pixels of a cut; None for whole chips.
    n_pairs : int
        Pairs in a visit.
    n_visits : int
        Visits.
    errors : PointingErrors, optional
        How wrong the pointings are.
    scene : SceneSettings, optional
        Sources; `usual_scene` when None.
    """
    pairs = _pairs(instrument, 0, n_pairs, _BOX)
    return _simulation(instrument, size, (pairs,) * n_visits, errors, scene)


def case_b(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    n_pairs: int = 2,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan two visits in other filters and grisms, as F140W + G141 and F105W + G102; see `case_a`."""
    exposures = tuple(_pairs(instrument, visit, n_pairs, _BOX) for visit in (0, 1))
    return _simulation(instrument, size, exposures, errors, scene)


def case_c(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan fewer direct than grism exposures, which are dithered by several arcsec; see `case_a`.

    The first visit has one direct exposure for four grism exposures, the second has two.
    """
    grisms = [_grism(instrument, 0, number, dither) for number, dither in enumerate(_WIDE)]
    first, second = (_direct(instrument, 0, dither) for dither in (_WIDE[0], _WIDE[2]))
    exposures = ((first, *grisms), (first, *grisms[:2], second, *grisms[2:]))
    return _simulation(instrument, size, exposures, errors, scene)


def interleaved(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    n_grisms: int = 2,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan direct and grism exposures in turns at one pointing, which drifts; see `case_a`.

    Each of two visits begins and ends with a direct exposure; with two grism exposures it fills an orbit.

    Parameters
    ----------
    instrument, size, scene
        As for `case_a`.
    n_grisms : int
        Grism exposures in a visit.
    errors : PointingErrors, optional
        How wrong the pointings are; by default those of the other cases and a drift of 0.2 pixel/hour.
    """
    direct = _direct(instrument, 0)
    grisms = (_grism(instrument, 0, number) for number in range(n_grisms))
    exposures = (direct, *(exposure for grism in grisms for exposure in (grism, direct)))
    errors = errors or replace(usual_errors(instrument), drift=0.2)
    return _simulation(instrument, size, (exposures,) * 2, errors, scene)


def small_dithers(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan dithers of 0.6" with errors of their own, and grism exposures at other ones; see `case_a`.

    In the first visit each grism exposure is followed by a direct one at its dither, in the second only the
    last one is.

    Parameters
    ----------
    instrument, size, scene
        As for `case_a`.
    errors : PointingErrors, optional
        How wrong the pointings are; by default those of the other cases, for grism exposures too.
    """
    grisms = [_grism(instrument, 0, number, dither) for number, dither in enumerate(_SMALL[1:])]
    directs = [_direct(instrument, 0, dither) for dither in _SMALL]
    first = [directs[0], *(one for pair in zip(grisms, directs[1:], strict=True) for one in pair)]
    second = [directs[0], *grisms, directs[-1]]
    errors = errors or replace(usual_errors(instrument), jitter_of_grisms=True)
    return _simulation(instrument, size, (tuple(first), tuple(second)), errors, scene)


def images_last(
    instrument: str = "nircam",
    size: int | tuple[int, int] | None = None,
    n_grisms: int = 3,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan grism exposures and then two direct ones, no two at one dither, as programs with NIRCam do.

    Parameters
    ----------
    instrument, size, errors, scene
        As for `case_a`.
    n_grisms : int
        Grism exposures in each of two visits.
    """
    grisms = (_grism(instrument, 0, number, _STEPS[number % len(_STEPS)]) for number in range(n_grisms))
    exposures = (*grisms, *(_direct(instrument, 0, dither) for dither in _BETWEEN))
    return _simulation(instrument, size, (exposures,) * 2, errors, scene)
