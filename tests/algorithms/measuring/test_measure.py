from __future__ import annotations

import re

import numpy as np
import pytest

from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.algorithms.measuring.psf import telescope_psf
from grism_align.values.catalog import SourceFlag
from grism_align.values.exposure import Chip
from grism_align.values.failure import text_of
from grism_align.values.mission import ChipPixels
from grism_align.values.settings import DetectionSettings
from tests.support.associations import exposure
from tests.support.images import gaussian_sources, lattice, noisy

ZERO_POINT, TIME = 26.0, 400.0


def read(number, *arrays):
    """A chip and its arrays."""
    return Chip(number, arrays[0].shape, None), ChipPixels(*arrays)


def chip(rate, time=TIME, sigma=1.0, seed=9, turn=False):
    """Positions and the counts, errors and DQ of a chip with 49 sources of so many counts per second."""
    rng = np.random.default_rng(seed)
    xy, shape = lattice(7, 24, rng)
    image, error = noisy(gaussian_sources(xy, np.full(len(xy), rate * time), sigma, shape), 10.0, rng)
    return xy, image.T if turn else image, error.T if turn else error, np.zeros(shape, np.int16)


@pytest.mark.parametrize("rates", [True, False])
def test_magnitudes_of_rates_and_of_counts(rates):
    _, image, error, dq = chip(10.0)
    unit = TIME if rates else 1.0
    frame = exposure("iaaa01d1q", 0, length=TIME, is_rate=rates, exposure_time=TIME, ab_zero_point=ZERO_POINT)
    catalog = measure_exposure(frame, [read(1, image / unit, error / unit, dq)], DetectionSettings())
    assert len(catalog) == 49
    inside = 1 - np.exp(-0.5 * 9 / (1 + 1 / 12))
    np.testing.assert_allclose(catalog.flux.mean(), 10 * inside, rtol=0.02)
    # 4000 counts over 30 pixels of 10: 1.6 % each, 0.3 % of 49
    assert np.mean(catalog.mag) == pytest.approx(ZERO_POINT - 2.5 * np.log10(10 * inside), abs=0.02)
    table = catalog.table
    np.testing.assert_allclose(table["mag_error"], 1.0857 / table["snr"])
    np.testing.assert_allclose(table["snr"], table["flux"] / table["flux_error"])
    assert catalog.mag.std() == pytest.approx(np.mean(table["mag_error"]), rel=0.4)
    assert catalog.remarks == ()
    assert table.meta["exposure"] == "iaaa01d1q"
    assert table.meta["counts"]["peaks"] == 49
    assert table.meta["settings"]["threshold"] == 6.0


def test_two_chips():
    (_, *first), (_, *second) = chip(10.0), chip(10.0, seed=10)
    catalog = measure_exposure(
        exposure("iaaa01d1q", 0, exposure_time=TIME), [read(1, *first), read(2, *second)], DetectionSettings()
    )
    np.testing.assert_array_equal(catalog.chip, np.repeat([1, 2], 49))
    np.testing.assert_array_equal(catalog.table["id"], np.arange(1, 99))
    assert catalog.table.meta["counts"]["pixels"] == 2 * first[0].size


def test_a_trailed_exposure_is_recognised():
    _, *drawn_out = chip(10.0, sigma=(1.7, 1.0))
    catalog = measure_exposure(
        exposure("iaaa01d1q", 0, exposure_time=TIME), [read(1, *drawn_out)], DetectionSettings()
    )
    pattern = r"trailed: mean ellipticity of its 49 brightest sources 0\.[23]\d, limit 0\.15"
    assert re.fullmatch(pattern, text_of(catalog.remarks))
    assert (catalog.flags & SourceFlag.TRAILED).all()
    assert len(catalog.brightest(10)) == 0


def test_ellipses_of_two_directions_are_no_trail():
    (_, *one), (_, *other) = chip(10.0, sigma=(1.7, 1.0)), chip(10.0, sigma=(1.7, 1.0), turn=True)
    catalog = measure_exposure(
        exposure("iaaa01d1q", 0, exposure_time=TIME), [read(1, *one), read(2, *other)], DetectionSettings()
    )
    assert np.median(catalog.table["ellipticity"]) > 0.15
    assert catalog.remarks == ()


def test_no_sources_is_a_catalog_with_a_note():
    empty = np.random.default_rng(1).normal(size=(80, 80))
    chips = [
        read(1, empty, np.ones((80, 80)), np.zeros((80, 80), int)),
        read(2, empty, empty * np.nan, np.zeros((80, 80), int)),
    ]
    catalog = measure_exposure(exposure("iaaa01d1q", 0), chips, DetectionSettings())
    assert len(catalog) == 0
    assert text_of(catalog.remarks) == (
        "6400 of 6400 pixels are flagged in DQ or without a value; no source above 6 sigma"
    )


def test_a_single_star_gets_the_psf_of_the_filter():
    """A source as narrow as the optics make it; one of another wavelength keeps its centroid."""
    star = telescope_psf(0.93, 0.25, 0.33).images(np.array([[20.3, 19.8]]), 41)[0][0]
    image, error = noisy(5e4 * star, 100.0, np.random.default_rng(1))
    fitted = []
    for wavelength in (1.39e-6, np.nan):
        frame = exposure("iaaa01d1q", 0, wavelength=wavelength)
        dq, settings = np.zeros(image.shape, np.int16), DetectionSettings(obstruction=0.33)
        catalog = measure_exposure(frame, [read(1, image, error, dq)], settings)
        fitted.append(catalog.table.meta["counts"]["fitted_as_stars"])
    # wavelength over 2.4 m, in pixels of the header
    assert exposure("iaaa01d1q", 0, wavelength=1.39e-6).resolution == 0.92
    assert fitted == [1, 0]
