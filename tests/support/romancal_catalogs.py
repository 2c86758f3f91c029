"""Romancal's source catalog step, with reference files made here in place of those of CRDS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from roman_datamodels import datamodels as rdm
from romancal.source_catalog import SourceCatalogStep
from romancal.source_catalog._source_catalog import RomanSourceCatalog

from grism_align.simulation.psf import ROMAN, Band, Shape, stamp
from grism_align.simulation.roman.instruments import INSTRUMENTS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_FINE, _SIZE, _SCALE = 4, 32, 0.11
_FOCUSES, _SPECTRA = 1, 3


def catalog_step(folder: Path, monkeypatch: pytest.MonkeyPatch, element: str = "F158") -> type:
    """Return the step as a class that finds its reference files in a folder, where they are made."""
    _psf(element).save(folder / "epsf.asdf")
    _aperture_corrections(element).save(folder / "apcorr.asdf")
    # maps of dust are asked of CRDS; without them there is no reddening
    monkeypatch.setattr(RomanSourceCatalog, "_get_sfd_map_paths", _no_maps)

    class OfFolder(SourceCatalogStep):
        reference_file_types: ClassVar = []

        def get_reference_file(self, input_file: Any, reference_file_type: str) -> str:
            """Return one of those in the folder."""
            return str(folder / f"{reference_file_type}.asdf")

    return OfFolder


def _no_maps(*_: Any) -> None:
    raise OSError


def _psf(element: str) -> Any:
    """Return the PSF with which exposures are simulated, the same all over the detector."""
    camera = INSTRUMENTS["roman_wfi"]
    light = camera.elements[element]
    band = Band(light.pivot, light.width, _SCALE, camera.readout.diffusion, ROMAN)
    star = Shape(0.0, 1.0, 0.0, 0.0)
    found = np.zeros((_SIZE * _FINE, _SIZE * _FINE))
    for j in range(_FINE):
        for i in range(_FINE):
            phase = -np.array([i, j]) / _FINE
            found[j::_FINE, i::_FINE] = stamp(_SIZE, band, star, np.eye(2) * _SCALE, phase)
    # the middle is its own pixel
    image = found[1:, 1:].astype(np.float32)
    model = rdm.EpsfRefModel.create_fake_data()
    model.psf = np.broadcast_to(image, (_FOCUSES, _SPECTRA, 4, *image.shape)).copy()
    model.meta.pixel_x, model.meta.pixel_y = [0.0, 0.0, 4087.0, 4087.0], [0.0, 4087.0, 0.0, 4087.0]
    model.meta["oversample"] = _FINE
    model.meta.instrument.optical_element = element
    model.meta.jitter_major = model.meta.jitter_minor = 8.0
    model.meta.jitter_position_angle = 0.0
    return model


def _aperture_corrections(element: str) -> Any:
    radii = np.linspace(0.1, 10, 30)
    curve = {"ap_corrections": np.ones(30), "ee_fractions": 1 - np.exp(-(radii**2)), "ee_radii": radii}
    model = rdm.ApcorrRefModel.create_fake_data()
    model["data"] = {element: {**curve, "sky_background_rin": 2.4, "sky_background_rout": 2.8}}
    return model
