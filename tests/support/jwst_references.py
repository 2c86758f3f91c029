"""Reference files with which jwst's own steps make the WCSs of simulated exposures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asdf
from stdatamodels.jwst import datamodels

from grism_align.simulation.gwcs.imaging import whole_detector
from grism_align.simulation.jwst.instruments import INSTRUMENTS
from grism_align.simulation.jwst.transforms import disperser, dispersion

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.simulation.elements import Element
    from grism_align.simulation.jwst.camera import JwstCamera, JwstDetector

_TOLD = {
    "author": "simulation",
    "description": "simulated",
    "pedigree": "DUMMY",
    "useafter": "2020-01-01T00:00:00",
}


def write_references(instrument: str, grism: str, folder: Path) -> dict[str, dict[str, str]]:
    """Write what assign_wcs asks for.

    Parameters
    ----------
    instrument : str
        ``niriss`` or ``nircam``.
    grism : str
        As `Camera.elements` names it.
    folder : Path
        Made if need be.

    Returns
    -------
    dict of dict
        Paths by detector and kind: ``distortion``, ``filteroffset``, and for spectra ``specwcs`` and
        ``wavelengthrange``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    camera = INSTRUMENTS[instrument]
    element = camera.elements[grism]
    offsets = _filter_offsets(camera, folder / "filteroffset.asdf")
    found = {
        detector.name: {
            "distortion": _distortion(camera, detector, folder / f"distortion_{detector.name}.asdf"),
            "filteroffset": offsets,
        }
        for detector in (camera.detector, *camera.others)
    }
    found[camera.detector.name] |= {
        "specwcs": _dispersion(camera, element, folder / f"specwcs_{grism}.asdf"),
        "wavelengthrange": _wavelengths(camera, element, folder / f"wavelengthrange_{grism}.asdf"),
    }
    return found


def _saved(model: Any, path: Path) -> str:
    for name, value in _TOLD.items():
        setattr(model.meta, name, value)
    model.save(path)
    model.close()
    return str(path)


def _distortion(camera: JwstCamera, detector: JwstDetector, path: Path) -> str:
    model = datamodels.DistortionModel(
        model=whole_detector(detector.aperture), input_units="pixel", output_units="arcsec"
    )
    model.meta.telescope = "JWST"
    model.meta.instrument.name, model.meta.instrument.detector = camera.instrume, detector.name
    model.meta.instrument.p_pupil = "CLEAR|"
    if detector.channel:
        model.meta.instrument.channel, model.meta.instrument.module = detector.channel, detector.name[3]
    return _saved(model, path)


def _filter_offsets(camera: JwstCamera, path: Path) -> str:
    elements = [*camera.elements.values(), *filter(None, [camera.other_element])]
    rows = [
        {
            "filter": element.wheels[0],
            "pupil": element.wheels[1],
            "column_offset": element.shift[0],
            "row_offset": element.shift[1],
        }
        for element in elements
        if not element.is_grism
    ]
    asdf.AsdfFile({"filters": rows}).write_to(path)
    return str(path)


def _dispersion(camera: JwstCamera, element: Element, path: Path) -> str:
    transform = dispersion(element)
    given = {
        "displ": transform.lmodels,
        "dispx": transform.xmodels,
        "dispy": transform.ymodels,
        "orders": transform.orders,
    }
    if camera.name == "niriss":
        position = {"invdispl": transform.inverse.lmodels, "fwcpos_ref": 245.76}
        model = datamodels.NIRISSGrismModel(**given, **position)
        model.meta.instrument.filter = disperser(element)
    else:
        model = datamodels.NIRCAMGrismModel(**given, invdispl=transform.inv_lmodels)
    model.meta.input_units = model.meta.output_units = "micron"
    return _saved(model, path)


def _wavelengths(camera: JwstCamera, element: Element, path: Path) -> str:
    band = next(name for name in element.wheels if name != disperser(element))
    model = datamodels.WavelengthrangeModel(
        wrange=[[order.number, band, *order.wavelengths] for order in element.orders],
        wrange_selector=[band],
        order=[order.number for order in element.orders],
        extract_orders=[[band, [1]]],
        wunits="micron",
    )
    model.meta.instrument.name, model.meta.exposure.type = camera.instrume, camera.kinds[1]
    return _saved(model, path)
