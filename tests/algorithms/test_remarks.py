"""What is remarked of exposures that fail, as the algorithms make it, and what is to be done about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.measuring.detect import detect_sources
from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.algorithms.propagation.propagate import propagate
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.catalog import SourceCatalog
from grism_align.values.failure import (
    FailureCode,
    NoDirectExposure,
    NoSources,
    NotAtPointing,
    PixelsFlagged,
    TooFewSources,
    advice_on,
)
from grism_align.values.mission import ChipPixels
from grism_align.values.settings import (
    DetectionSettings,
    GrismSettings,
    MatchSettings,
    PointingSettings,
    RelativeSettings,
)
from grism_align.values.solution import AlignmentSolution, ExposureFit
from grism_align.values.transform import LinearTransform
from tests.support.associations import exposure
from tests.support.exposures import PLANE, observe, stars
from tests.support.images import gaussian_sources, lattice, noisy

SHAPE = (120, 120)


def _noted(dq):
    quality = np.full(SHAPE, dq, np.int16)
    return detect_sources(np.zeros(SHAPE), np.ones(SHAPE), quality, DetectionSettings()).remark


def _trailed():
    rng = np.random.default_rng(9)
    xy, shape = lattice(7, 24, rng)
    drawn_out = gaussian_sources(xy, np.full(len(xy), 4000.0), (1.7, 1.0), shape)
    pixels = ChipPixels(*noisy(drawn_out, 10.0, rng), np.zeros(shape, np.int16))
    one = exposure("iaaa01d1q", 0)
    return measure_exposure(one, [(one.chips[0], pixels)], DetectionSettings()).remarks


@pytest.fixture(scope="module")
def observed():
    """Three exposures of one field and their catalogs."""
    rng = np.random.default_rng(301)
    sky, still = stars(rng, 60), LinearTransform.identity(PLANE)
    made = [observe(sky, still, rng, f"iaaa01d{n}q", start=1e3 * n) for n in range(3)]
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}


def _last(observed, table, *, shared=False, **changes):
    """The remarks of the last exposure, whose catalog is another; of the others' acquisition or its own."""
    exposures = [replace(e, group="g" if shared else e.key) for e in observed[0]]
    last = exposures[-1].key
    catalogs = {**observed[1], last: SourceCatalog(table)}
    match = MatchSettings(**changes)
    result = align_relative(exposures, catalogs, RelativeSettings(), match, PointingSettings())
    return result.solution.fits[last].remarks


def _blurred(observed, rng, noise):
    table = _own(observed)
    for axis in "xy":
        table[axis] += noise * rng.normal(size=len(table))
    return table


def _own(observed):
    return observed[1][observed[0][-1].key].table.copy()


def _no_direct(observed, *, fails):
    grism = exposure("iaaa01g1q", 300, grism=True, group="a")
    direct = replace(observed[0][0], group="a" if fails else "b")
    fits = (
        AlignmentSolution({direct.key: ExposureFit.failed(NoSources(6.0))}) if fails else AlignmentSolution()
    )
    return propagate([grism], [direct] if fails else [], fits, GrismSettings())[grism.key].remarks


def test_remarks_of_one_exposure():
    n = SHAPE[0] * SHAPE[1]
    assert _noted(4) == PixelsFlagged(n, n)
    assert _noted(0) == NoSources(DetectionSettings().threshold)
    [trailed] = _trailed()
    assert trailed.ellipticity > trailed.limit == DetectionSettings().trail_ellipticity
    assert trailed.n > 5


def test_remarks_of_the_relative_alignment(observed):
    rng = np.random.default_rng(302)
    assert _last(observed, _own(observed)[:3]) == (TooFewSources(3, 3, MatchSettings().min_matches),)
    elsewhere = observe(stars(rng), LinearTransform.identity(PLANE), rng, "iccc03d1q")[1]
    [lone] = _last(observed, elsewhere.table)
    assert lone.code is FailureCode.MATCHES_NO_OTHER
    away = _last(observed, elsewhere.table, shared=True)
    assert away[-1] == NotAtPointing()
    assert advice_on(away) == advice_on(away[-1:]) == FailureCode.MATCHES_NO_OTHER.advice
    [loose] = _last(observed, _blurred(observed, rng, 0.15), max_rms=0.02)
    assert loose.code is FailureCode.LARGE_RMS
    assert loose.rms > loose.limit == 0.02
    [blurred] = _last(observed, _blurred(observed, rng, 0.8))
    # which of the two is farther beyond its limit depends on the noise
    assert blurred.code in {FailureCode.CHANCE_MATCH, FailureCode.TOO_FEW_KEPT}


@pytest.mark.parametrize("fails", [True, False])
def test_remarks_of_the_propagation(observed, fails):
    [remark] = _no_direct(observed, fails=fails)
    # the direct exposure is at another roll
    assert remark == NoDirectExposure("a", (observed[0][0].key,) if fails else ())
