"""AstroDrizzle takes the new WCS as it is, and drizzlepac its name."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.io.missions import read_exposure
from tests.support.astrodrizzle import WANTED
from tests.support.fields import edited

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Card is too long"),
    pytest.mark.filterwarnings("ignore:'datfix' made the change"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:drizzlepac"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:stsci"),
]


def _peak(image, x, y, half=6):
    """Centroid of what lies around a pixel."""
    left, low = round(float(x)) - half, round(float(y)) - half
    cut = image[low : low + 2 * half + 1, left : left + 2 * half + 1]
    cut = np.clip(np.nan_to_num(cut) - np.nanmedian(cut), 0, None)
    cut[cut < 0.1 * cut.max()] = 0
    rows, columns = np.indices(cut.shape)
    return left + (cut * columns).sum() / cut.sum(), low + (cut * rows).sum() / cut.sum()


@pytest.mark.slow
def test_astrodrizzle_puts_sources_where_the_new_wcs_says(field_a, output_a, tmp_path, monkeypatch):
    astrodrizzle = pytest.importorskip("drizzlepac.astrodrizzle", exc_type=ImportError)
    result, folder = output_a
    monkeypatch.chdir(tmp_path)
    names = []
    for exposure in result.direct:
        edited(folder / exposure.source.name, tmp_path / exposure.source.name, *WANTED)
        names.append(exposure.source.name)
    before = {name: fits.getheader(name, "SCI")["CRVAL1"] for name in names}
    astrodrizzle.AstroDrizzle(
        names,
        output="both",
        updatewcs=False,
        build=False,
        context=False,
        preserve=False,
        static=False,
        skysub=False,
        driz_separate=False,
        median=False,
        blot=False,
        driz_cr=False,
        final_wcs=True,
        final_rot=0.0,
        final_scale=0.1,
        final_units="cps",
        num_cores=1,
        in_memory=False,
    )
    # files that it leaves open must not be found by another test
    gc.collect()
    assert {name: fits.getheader(name, "SCI")["CRVAL1"] for name in names} == before
    with fits.open("both_drz_sci.fits") as hdus:
        mosaic, wcs = hdus[0].data, WCS(hdus[0].header)
    offsets = []
    for exposure in result.direct:
        [chip] = read_exposure(folder / exposure.source.name).chips
        bright = result.catalogs[exposure.key].brightest(25, 255)
        expected = wcs.all_world2pix(chip.wcs.to_sky(bright.xy), 0)
        offsets += [np.subtract(_peak(mosaic, *xy), xy) for xy in expected]
    # in pixels of 0.1 arcsec, whatever neighbours and cosmic rays do to some
    assert len(offsets) > 30
    assert np.abs(np.median(offsets, axis=0)).max() < 0.05
    assert np.median(np.abs(offsets)) < 0.2


@pytest.mark.parametrize("name", ["FIT_REL_NONE", "FIT_REL_GaiaDR3_2", "FIT_IMG_GaiaDR3", "FIT_IMG_x_3"])
def test_drizzlepac_interprets_the_names(name):
    updatehdr = pytest.importorskip("drizzlepac.updatehdr", exc_type=ImportError)
    words = updatehdr.interpret_wcsname_type(f"IDC_w3m18525i-{name}")
    how = "aligned image-by-image to" if "IMG" in name else "relatively aligned to"
    assert words == f"undistorted a posteriori solution {how} {name.split('_')[2].upper()}"
