"""Pictures for the record: from exposures whose pixels are made up as they are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.source_list import solved_sources
from grism_align.algorithms.measuring.stamps import light_offset
from grism_align.io.report import report_html
from grism_align.values.catalog import SkySource, SourceCatalog, SourceFlag
from grism_align.values.exposure import Chip
from grism_align.values.field import ExposureSet
from grism_align.values.mission import ChipPixels
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.results import stamps as module
from grism_align.workflows.results.stamps import star_stamps
from tests.support.associations import FlatSky, exposure
from tests.support.executors import HERE
from tests.support.reports import record

SCALE, SIZE = 0.13, 300
PLANE = TangentPlane(53.0, -27.8)
STARS = np.array([[-12.0, 3.0], [9.0, 11.0], [2.0, -14.0], [14.0, -9.0]])
FAINT = 1 << 12


def _make(offsets):
    """Exposures of four stars by WCSs that are off (arcsec), with the corrections; and their pixels."""
    sky, images, exposures, catalogs, fits = PLANE.to_sky(STARS), {}, [], {}, {}
    for number, offset in enumerate(offsets):
        true = FlatSky(53.0, -27.8, (SIZE, SIZE), SCALE)
        move = LinearTransform.from_parameters(PLANE, offset)
        wrong = true.corrected(move.inverted())
        xy = true.to_pixel(sky)
        key = f"ione{number}"
        exposures.append(exposure(key, 600.0 * number, chips=(Chip(1, (SIZE, SIZE), wrong),)))
        y, x = np.indices((SIZE, SIZE))
        images[key] = 3.0 + sum(
            flux * np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / 1.2**2)
            for (a, b), flux in zip(xy, (400.0, 300.0, 200.0, 100.0), strict=True)
        )
        catalogs[key] = _catalog(xy)
        fits[key] = ExposureFit(
            FitStatus.ALIGNED,
            replace(move, covariance=np.eye(6) * 1e-12),
            n_matched=4,
            n_used=4,
            rms=1.0,
            residuals=Residuals(
                np.arange(4) + 1, np.arange(4), np.zeros((4, 2)), np.ones(4), np.full(4, 1.0)
            ),
        )
    sources = tuple(
        SkySource(n, *place, 1.0, 18.0 + n, 2015.0, 0, len(offsets)) for n, place in enumerate(sky.tolist())
    )
    found = ExposureSet(
        "field",
        tuple(exposures),
        catalogs=catalogs,
        sources=sources,
        relative=AlignmentSolution(fits, "frame"),
    )
    return found, images


def _catalog(xy):
    n = len(xy)
    columns = {name: np.ones(n) for name in ("x_error", "y_error", "flux_error", "mag_error", "snr", "fwhm")}
    columns |= {"id": np.arange(n) + 1, "chip": np.ones(n), "x": xy[:, 0], "y": xy[:, 1]}
    columns |= {"flux": 10.0 - np.arange(n), "mag": 18.0 + np.arange(n), "ellipticity": np.zeros(n)}
    return SourceCatalog.from_columns({**columns, "flags": np.zeros(n)})


@pytest.fixture
def made(monkeypatch):
    """Two visits, half an arcsec apart."""
    return _prepared(monkeypatch, [(0.3, 0.0), (-0.2, 0.0), (0.3, 0.0), (-0.2, 0.0)])


def _prepared(monkeypatch, offsets):
    exposures, images = _make(offsets)
    opened = []

    def pixels(one):
        opened.append(one.key)
        image = images[one.key]
        dq = np.full(image.shape, FAINT)
        yield one.chips[0], ChipPixels(image, np.ones_like(image), dq)

    monkeypatch.setattr(module, "read_pixels", pixels)
    return exposures, opened


def test_stars_come_together(made):
    exposures, opened = made
    found = star_stamps(exposures, solved_sources(exposures), HERE, good_bits=FAINT)
    assert opened == [one.key for one in exposures.exposures]
    assert found.before.shape == found.after.shape == (5, 41, 41)
    assert found.before.dtype == np.float32
    assert found.n_exposures.tolist() == [4, 4, 4, 4]
    assert found.common_offset == (0.0, 0.0)
    for before, after in zip(found.before, found.after, strict=True):
        # 0.05" is where two equal blobs at -0.3" and 0.2" have their middle
        assert light_offset(after) * found.scale < 0.01
        assert light_offset(before) * found.scale == pytest.approx(0.05, abs=0.01)
        assert before.max() < 0.7 * after.max()
    # how far the images are apart, though their light is in the middle
    np.testing.assert_allclose(found.off_before, np.sqrt(0.5 * (0.3**2 + 0.2**2)), atol=1e-3)
    assert (found.off_after < 0.01).all()
    assert pytest.approx(PLANE.to_sky(STARS), abs=1e-7) == np.array([found.ra, found.dec]).T


def test_large_common_offsets_are_taken_off(monkeypatch):
    exposures, _ = _prepared(monkeypatch, [(20.0, -1.0), (20.4, -1.0), (20.2, -1.0)])
    found = star_stamps(exposures, solved_sources(exposures), HERE, good_bits=FAINT)
    # before, stars lie to the other side
    assert found.common_offset == pytest.approx([-20.2, 1.0], abs=1e-3)
    assert light_offset(found.before[0]) * found.scale < 0.02
    assert "taken off" in report_html(record(exposures, stamps=found))


def test_masked_and_doubtful_stars_are_left_out(made):
    exposures, _ = made
    # no bit is good
    assert star_stamps(exposures, solved_sources(exposures), HERE) is None
    for catalog in exposures.catalogs.values():
        catalog.table["flags"][0] = int(SourceFlag.SATURATED)
    found = star_stamps(exposures, solved_sources(exposures), HERE, good_bits=FAINT)
    assert [name.rsplit("-", 1)[-1] for name in found.identifier] == ["1", "2", "3"]


def test_at_most_so_many_stars(made):
    exposures, _ = made
    found = star_stamps(exposures, solved_sources(exposures), HERE, good_bits=FAINT, n_stars=2)
    assert len(found.ra) == 2
    assert len(found.after) == 3


def test_nothing_to_show(made):
    exposures, opened = made
    assert star_stamps(exposures, None, HERE) is None
    bare = replace(exposures, catalogs={})
    assert star_stamps(bare, solved_sources(exposures), HERE) is None
    one = replace(exposures, exposures=exposures.exposures[:1])
    assert star_stamps(one, solved_sources(exposures), HERE, good_bits=FAINT) is None
    assert opened == []


def test_stars_with_a_neighbour_come_last(made):
    """Told by each exposure's own catalog, which has what no fit used."""
    exposures, _ = made
    for catalog in exposures.catalogs.values():
        rows = {name: np.append(column, column[:1]) for name, column in catalog.table.items()}
        rows["id"][-1], rows["flags"][-1] = 9, int(SourceFlag.SATURATED | SourceFlag.MASKED_CORE)
        # 2.6" from the brightest
        rows["x"][-1] += 20.0
        rows["mag"][-1] = 30.0
        catalog.table.remove_rows(slice(0, None))
        for values in zip(*rows.values(), strict=True):
            catalog.table.add_row(values)
    found = star_stamps(exposures, solved_sources(exposures), HERE, good_bits=FAINT)
    assert [name.rsplit("-", 1)[-1] for name in found.identifier] == ["1", "2", "3"]


def test_usable_bits_are_those_of_the_catalog(made):
    exposures, _ = made
    for catalog in exposures.catalogs.values():
        catalog.table.meta["settings"] = {"good_bits": FAINT}
    assert star_stamps(exposures, solved_sources(exposures), HERE) is not None
