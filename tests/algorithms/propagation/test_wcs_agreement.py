"""WCSs of one name that are two solutions, told by the pointing as commanded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.propagation.propagate import propagate
from grism_align.io.missions.hst.headers import LinearTerms
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.values.exposure import OriginalPointing
from grism_align.values.failure import OtherDistortion, WcsChanged, WcsDoubted
from grism_align.values.settings import GrismSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.associations import exposure
from tests.support.chips import chip_wcs

PLANE = TangentPlane(53.0, -27.8)
PIXELS = np.array([[0.0, 0.0], [1013.0, 0.0], [500.0, 500.0], [0.0, 1013.0], [1013.0, 1013.0]])
SHAPE = (1014, 1014)
MOVES = {
    "half an arcsecond": ((0.4, -0.3), 0.0, 1.0),
    "36 arcsec": ((36.0, 0.0), 0.0, 1.0),
    "roll": ((0.0, 0.0), 0.15, 1.0),
    "scale": ((0.0, 0.0), 0.0, 1.01),
}


def seen(key, start, *, grism=False, error=0.1, **changes):
    """An exposure with a real WCS; that of a grism is 40 mas and 0.003 deg off the pointing as commanded."""
    wcs = chip_wcs("wfc3_ir", (PLANE.ra, PLANE.dec, 0.0))
    off = LinearTransform.from_parameters(PLANE, (0.04, 0.0), 0.003) if grism else None
    made = exposure(key, start, grism=grism, wcs_solution="IDC", **changes)
    chip = replace(made.chips[0], wcs=wcs.corrected(off) if off else wcs)
    return replace(
        made, chips=(chip,), original=OriginalPointing(wcs, (506.0, 506.0), error) if error else None
    )


def moved(one, name):
    """The same exposure, its WCS changed under its old name."""
    shift, roll, scale = MOVES[name]
    change = LinearTransform.from_parameters(one.plane, shift, roll, scale)
    return one.corrected(change), change


def visits(n, **changes):
    """A direct and a grism exposure in each of some visits."""
    return [
        (
            seen(f"iaaa0{v}d1q", 90000 * v, **changes),
            seen(f"iaaa0{v}g1q", 90000 * v + 300, grism=True, **changes),
        )
        for v in range(n)
    ]


def corrected(pairs, change=None, which=None):
    """Correct the grism exposures: the direct ones come back where they were, by their own sources."""
    fits = {}
    for direct, _ in pairs:
        undo = change.inverted() if change and direct.key == which else LinearTransform.identity(PLANE)
        in_plane = replace(undo.at(PLANE), covariance=np.zeros((6, 6)))
        fits[direct.key] = ExposureFit(FitStatus.ALIGNED, in_plane, "others")
    directs, grisms = zip(*pairs, strict=True)
    return propagate(grisms, directs, AlignmentSolution(fits), GrismSettings())


def left(one, fit, true):
    """How far the corrected WCS is off, mas."""
    there = fit.transform.apply_to_sky(one.chips[0].wcs.to_sky(PIXELS))
    return 3.6e6 * separation(there, true.chips[0].wcs.to_sky(PIXELS)).max()


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("which", ["direct", "grism"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_correction_finds_the_wcs_that_both_had(name, which, n):
    pairs = visits(n)
    direct, grism = pairs[0]
    changed, change = moved(direct if which == "direct" else grism, name)
    altered = (changed, grism) if which == "direct" else (direct, changed)
    found = corrected([altered, *pairs[1:]], change, changed.key if which == "direct" else None)
    got = found[grism.key]
    assert got.status is FitStatus.PRIOR_ONLY
    (remark,) = (one for one in got.remarks if isinstance(one, WcsChanged))
    assert remark.exposure == direct.key
    # what a filter and a grism differ by stays where no other pair tells it; 36" turned by that are 2 mas
    assert left(altered[1], got, grism) < (5.0 if n > 1 else 60.0)
    assert 1e3 * got.transform.at(grism.plane).axis_error > left(altered[1], got, grism) / 3
    assert all(found[other.key].status is FitStatus.ALIGNED for _, other in pairs[1:])


def test_headers_that_agree_change_nothing():
    for error in (0.1, 12.0):
        found = corrected(visits(2, error=error))
        for fit in found.fits.values():
            np.testing.assert_array_equal(fit.transform.matrix, np.eye(2))
            np.testing.assert_array_equal(fit.transform.shift, np.zeros(2))
            assert (fit.status, fit.remarks) == (FitStatus.ALIGNED, ())


def test_two_pairs_that_differ_a_little_are_both_doubted():
    """Within what filters may differ by nothing tells which of the two was changed."""
    pairs = visits(2)
    change = LinearTransform.from_parameters(PLANE, (0.03, 0.02))
    direct = pairs[0][0].corrected(change)
    found = corrected([(direct, pairs[0][1]), pairs[1]])
    assert all(fit.status is FitStatus.PRIOR_ONLY for fit in found.fits.values())
    assert all(fit.transform.at(PLANE).axis_error > 0.03 for fit in found.fits.values())
    for fit in found.fits.values():
        (remark,) = (one for one in fit.remarks if isinstance(one, WcsDoubted))
        assert remark.doubt == pytest.approx(np.hypot(0.03, 0.02), abs=1e-3)


@pytest.mark.parametrize("which", [0, 1])
def test_pointings_known_in_different_ways_are_not_compared(which):
    """Alternate O and the pointing of the aperture are of other pixels, and differ by a roll."""
    pairs = visits(2)
    one = pairs[1][which]
    rolled = one.original.wcs.corrected(LinearTransform.from_parameters(PLANE, (3.0, 2.0), 0.04))
    aperture = replace(one, original=OriginalPointing(rolled, (400.0, 400.0), 12.0))
    pairs[1] = (aperture, pairs[1][1]) if which == 0 else (pairs[1][0], aperture)
    for fit in corrected(pairs).fits.values():
        assert (fit.status, fit.remarks) == (FitStatus.ALIGNED, ())


@pytest.mark.parametrize("roll", [1.0, -40.0])
def test_a_wcs_that_was_turned_is_no_roll_of_the_telescope(roll):
    [(direct, grism)] = visits(1)
    turned = grism.corrected(LinearTransform.from_parameters(grism.plane, (0.0, 0.0), roll))
    fit = corrected([(direct, turned)])[grism.key]
    assert any(isinstance(one, WcsChanged) for remark in fit.remarks for one in remark.with_causes())


def test_the_pointing_holds_at_its_pixel_alone():
    """A grism's is known elsewhere on the detector, where distortion has turned and moved the pixels."""
    pairs = []
    for direct, grism in visits(2):
        wcs = direct.chips[0].wcs
        tangents = [linear_at(wcs, pixel) for pixel in ((556.0, 556.0), (491.0, 556.0))]
        off = tangents[1].to_sky([[0.0, 0.0]]), tangents[0].to_sky([[0.0, 0.0]])
        assert 3600 * separation(*off).max() > 0.1
        plain = replace(grism, chips=direct.chips)
        pairs.append(
            [
                replace(one, original=OriginalPointing(tangent, pixel, 0.05))
                for one, tangent, pixel in zip(
                    (direct, plain), tangents, ((556.0, 556.0), (491.0, 556.0)), strict=True
                )
            ]
        )
    assert all(fit.remarks == () for fit in corrected(pairs).fits.values())


def linear_at(wcs, pixel):
    """The WCS without distortion that agrees with one at a pixel."""
    step = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    center, *ends = wcs.to_sky(np.array(pixel) + step)
    ends = TangentPlane(*center).to_plane(np.array(ends)) / 3600
    cd = np.column_stack([ends[0] - ends[1], ends[2] - ends[3]]) / 2
    return FitsWcs.tangential(LinearTerms(np.array(pixel) + 1, center, cd), SHAPE)


def test_damaged_headers_lend_nothing():
    [(direct, grism)] = visits(1)
    far = grism.corrected(LinearTransform.from_parameters(PLANE, (200.0, 0.0)))
    fit = corrected([(direct, far)])[grism.key]
    assert fit.status is FitStatus.FAILED
    assert any(isinstance(one, WcsChanged) for remark in fit.remarks for one in remark.with_causes())


def test_the_pointing_of_apertures_tells_where_several_pairs_agree():
    pairs = visits(3, error=12.0)
    for name in ("36 arcsec", "half an arcsecond"):
        changed, _ = moved(pairs[1][1], name)
        found = corrected([pairs[0], (pairs[1][0], changed), pairs[2]])
        assert found[changed.key].status is FitStatus.PRIOR_ONLY
        assert left(changed, found[changed.key], pairs[1][1]) < 5.0
        # one alone tells what is gross
        lone = corrected([(pairs[1][0], changed)])[changed.key].status
        assert lone is (FitStatus.PRIOR_ONLY if name == "36 arcsec" else FitStatus.ALIGNED)


def test_offsets_of_the_telescope_between_the_two_are_no_change():
    """Turns of all WCSs by as much about their own pixels are no shift of one against another."""
    turn = LinearTransform.from_parameters(PLANE, (0.2, -0.1), 0.03)
    pairs = []
    for number, (direct, grism) in enumerate(visits(3)):
        there = TangentPlane(*PLANE.to_sky([60.0 * number, 30.0]))
        placed = []
        for one, place in ((direct, PLANE), (grism, there)):
            wcs = chip_wcs("wfc3_ir", (place.ra, place.dec, 0.0))
            pixel = wcs.to_pixel([[place.ra, place.dec]])[0]
            off = replace(turn, plane=place)
            chip = replace(one.chips[0], wcs=wcs.corrected(off))
            placed.append(
                replace(one, chips=(chip,), original=OriginalPointing(wcs, tuple(pixel.tolist()), 0.1))
            )
        pairs.append(tuple(placed))
    assert not any(
        isinstance(one, WcsChanged) for fit in corrected(pairs).fits.values() for one in fit.remarks
    )


def test_two_distortion_models_are_told():
    [(direct, grism)] = visits(1)
    found = corrected([(replace(direct, distortion="IDC_a"), replace(grism, distortion="IDC_b"))])
    fit = found[grism.key]
    assert fit.status is FitStatus.ALIGNED
    assert fit.remarks == (OtherDistortion(direct.key, "IDC_a", "IDC_b"),)
    # two tables of one camera put a filter and a grism 6 to 8 mas apart
    assert 1e3 * fit.transform.at(PLANE).axis_error > 8.0 / np.sqrt(2)


def test_distortion_models_of_two_instruments_are_nothing_to_tell():
    """Each has its own; how well they are tied is in the error."""
    [(direct, grism)] = visits(1)
    direct = replace(direct, distortion="model_a", instrument="another", camera="camera")
    grism = replace(grism, distortion="model_b", camera="camera")
    fit = corrected([(direct, grism)])[grism.key]
    assert fit.status is FitStatus.ALIGNED
    assert not fit.remarks
    assert 1e3 * fit.transform.at(PLANE).axis_error > 8.0 / np.sqrt(2)
