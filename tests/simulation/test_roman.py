"""Exposures of Roman: their WCSs, their metadata, and where sources lie in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.simulation import SceneSettings, case_a, simulate
from grism_align.values.errors import SettingsError
from grism_align.values.exposure import ExposureKind
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from tests.simulation.test_files import centroid

pytest.importorskip("roman_datamodels", reason="it writes the files of Roman")
from roman_datamodels import datamodels as rdm

STARS = SceneSettings(star_density=250, galaxy_density=0, star_magnitudes=(18.0, 20.5), star_slope=0.0)
XY = np.array([[0.0, 0.0], [119.0, 3.0], [60.0, 119.0]])


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    plan = replace(
        case_a("roman_wfi", 120, n_pairs=1, n_visits=1, scene=STARS), companions=("WFI02", "WFI18")
    )
    return simulate(plan, tmp_path_factory.mktemp("roman"), np.random.default_rng(7))


def test_files_are_valid_and_tell_of_themselves(truth):
    names = {path.name.split("_")[2] for path in truth.paths}
    assert names == {"wfi01", "wfi02", "wfi18"}
    for exposure in truth.exposures.values():
        with rdm.open(exposure.path) as model:
            model.validate()
            assert model.meta.filename == exposure.path.name
            is_spectral = exposure.kind is ExposureKind.GRISM
            assert model.meta.exposure.type == ("WFI_SPECTRAL" if is_spectral else "WFI_IMAGE")
            assert model.meta.observation.observation_id == exposure.pointing
            assert model.err.dtype == np.float16
            assert np.isnan(model.data[(model.dq & 1) > 0]).all()


def test_wcss_are_wrong_by_the_pointing_error_and_by_nothing_else(truth):
    for exposure in truth.exposures.values():
        with rdm.open(exposure.path) as model:
            written = np.column_stack(model.meta.wcs(*XY.T, with_bounding_box=False))
        true = exposure.chips[1].to_sky(XY)
        expected = vector_to_sky(sky_to_vector(true) @ exposure.rotation.T)
        np.testing.assert_allclose(written, expected, rtol=0, atol=1e-10)


def test_stars_lie_where_the_true_wcs_puts_them(truth):
    for exposure in truth.exposures.values():
        if exposure.kind is not ExposureKind.DIRECT:
            continue
        with rdm.open(exposure.path) as model:
            image = np.nan_to_num(np.array(model.data, dtype=float))
        xy = exposure.chips[1].to_pixel(truth.scene.sky_at(2000.0 + (exposure.mid - 51544.5) / 365.25))
        xy = xy[((xy > -20) & (xy < 140)).all(axis=1)]
        inside = ((xy > 12) & (xy < 107)).all(axis=1)
        apart = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 1e3 * np.eye(len(xy))
        alone = np.flatnonzero(inside & (apart.min(axis=1) > 12))
        assert len(alone) > 0
        off = [np.hypot(*(centroid(image, xy[one]) - xy[one])) for one in alone]
        assert np.median(off) < 0.1


def test_without_roman_datamodels(monkeypatch, tmp_path):
    monkeypatch.setattr("grism_align.simulation.roman.exposures.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="roman_datamodels"):
        simulate(case_a("roman_wfi", 64), tmp_path, np.random.default_rng(1))
