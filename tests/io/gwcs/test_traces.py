"""Traces by the dispersion in a gwcs, against the gwcs itself."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.io.gwcs.traces import trace_of
from grism_align.values.detector import DetectorWindow

gwcs = pytest.importorskip("gwcs", reason="it is what stdatamodels has for WCSs")
transforms = pytest.importorskip("stdatamodels.jwst.transforms.models", reason="it has JWST's dispersions")

SHAPE = (2048, 1024)
PASSBAND = (1.3, 1.7)


def polynomial(constant, *slopes):
    """A polynomial of the place: constant, x, y, x^2, xy, y^2, in units of a thousand pixels."""
    from astropy.modeling.models import Polynomial2D

    names = ("c0_0", "c1_0", "c0_1", "c2_0", "c1_1", "c0_2")
    scales = (1.0, 1e3, 1e3, 1e6, 1e6, 1e6)
    terms = zip(names, (constant, *slopes), scales, strict=False)
    return Polynomial2D(2, **{name: value / scale for name, value, scale in terms})


# along and across the dispersion by power of t, which goes from 0 to 1 over the passband
STRAIGHT = [[polynomial(-40.0), polynomial(130.0)], [polynomial(0.5), polynomial(0.3)]]
CURVED = [
    [polynomial(-40.0, 1.5, -2.0, 0.2), polynomial(130.0, 3.0, 2.0, 0.4, 0.3), polynomial(4.0, 0.5)],
    [polynomial(0.5, 2.0, -1.0, 0.3, 0.2, 0.1), polynomial(3.0, 0.4, 1.0), polynomial(-0.6)],
]
ZEROTH = [[polynomial(-248.0, 1.0), polynomial(3.0)], [polynomial(0.2), polynomial(0.0)]]


def dispersed(kind, first, along_columns, *, orders=(1, 0), theta=0.0):
    """A gwcs of pixels of spectra to those of sources."""
    import gwcs.coordinate_frames as cf
    from astropy import units as u
    from astropy.modeling.models import Polynomial1D

    blue, red = PASSBAND
    waves = [Polynomial1D(1, c0=blue, c1=red - blue)] * 2
    back = [Polynomial1D(1, c0=-blue / (red - blue), c1=1 / (red - blue))] * 2
    axes = [[first[0], ZEROTH[0]], [first[1], ZEROTH[1]]]
    models = dict(zip(("xmodels", "ymodels"), axes[::-1] if along_columns else axes, strict=True))
    if kind == "niriss":
        forward = transforms.NIRISSForwardColumnGrismDispersion(list(orders), lmodels=waves, **models)
        forward.inverse = transforms.NIRISSBackwardGrismDispersion(
            list(orders), lmodels=back, theta=theta, **models
        )
    else:
        forward = transforms.NIRCAMForwardRowGrismDispersion(list(orders), lmodels=waves, **models)
        forward.inverse = transforms.NIRCAMBackwardGrismDispersion(
            list(orders), inv_lmodels=back, lmodels=waves, **models
        )
    frames = [
        cf.Frame2D(name=name, axes_order=(0, 1), unit=(u.pix, u.pix))
        for name in ("grism_detector", "detector")
    ]
    return gwcs.WCS([(frames[0], forward), (frames[1], None)])


@pytest.mark.parametrize("kind", ["niriss", "nircam"])
@pytest.mark.parametrize("first", [STRAIGHT, CURVED], ids=["straight", "curved"])
@pytest.mark.parametrize("along_columns", [False, True])
@pytest.mark.parametrize("corner", [(1, 1), (513, 257)])
def test_the_model_puts_light_where_the_wcs_does(kind, first, along_columns, corner):
    wcs = dispersed(kind, first, along_columns)
    window = DetectorWindow(ltv=(1.0 - corner[0], 1.0 - corner[1]))
    trace = trace_of(wcs, SHAPE, window, PASSBAND)
    assert trace.along_columns is along_columns
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 1, (20, 2)) * SHAPE[::-1]
    middle = 0.5 * (np.array(SHAPE[::-1]) - 1.0)
    dispersion = wcs.get_transform("detector", "grism_detector")
    turned = places[:, ::-1] if along_columns else places
    window = window.transposed() if along_columns else window
    dx, dy = window.offsets(trace.model, turned)
    ahead = window.ahead(trace.model, turned)
    for wave in rng.uniform(*PASSBAND, 10):
        there = [np.array(dispersion(*place, wave, 1)[:2]).ravel() - place for place in (*places, middle)]
        *offsets, at_middle = (each[::-1] if along_columns else each for each in there)
        for number, (along, across) in enumerate(offsets):
            # straight between points a pixel apart
            assert np.interp(along, dx[number], dy[number]) == pytest.approx(across, abs=3e-3)
            assert np.interp(along, dx[number], ahead[number]) == pytest.approx(
                along - at_middle[0], abs=3e-3
            )


@pytest.mark.parametrize("along_columns", [False, True])
def test_the_turn_of_the_filter_wheel_is_in_the_model(along_columns):
    level, turned = (
        trace_of(dispersed("niriss", STRAIGHT, along_columns, theta=theta), SHAPE, DetectorWindow(), PASSBAND)
        for theta in (0.0, 0.5)
    )
    slope = [(each.model.dy[1, 0]) for each in (level, turned)]
    sign = -1.0 if along_columns else 1.0
    assert slope[1] - slope[0] == pytest.approx(sign * np.radians(0.5), rel=1e-3)


def test_the_zeroth_order_lies_within_what_is_said_of_it():
    trace = trace_of(dispersed("niriss", STRAIGHT, False), SHAPE, DetectorWindow(), PASSBAND)
    assert trace.zeroth[0] < -248.0
    assert -244.0 < trace.zeroth[1] < -235.0
    alone = trace_of(dispersed("niriss", STRAIGHT, False, orders=(1, 2)), SHAPE, DetectorWindow(), PASSBAND)
    assert alone.zeroth is None


@pytest.mark.parametrize(
    ("wcs", "passband"),
    [
        (lambda: dispersed("niriss", STRAIGHT, False), None),
        (lambda: dispersed("niriss", STRAIGHT, False, orders=(2, 0)), PASSBAND),
        (lambda: dispersed("niriss", ZEROTH, False), PASSBAND),
    ],
    ids=["filter unknown", "no first order", "as short as a zeroth order"],
)
def test_nothing_is_said_where_the_wcs_does_not_tell(wcs, passband):
    assert trace_of(wcs(), SHAPE, DetectorWindow(), passband) is None
