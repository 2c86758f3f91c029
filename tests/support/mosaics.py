"""Mosaics of simulated exposures, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.settings import MosaicSettings
from grism_align.workflows.mosaics.make import make_mosaics
from tests.support.executors import HERE

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet
    from grism_align.workflows.mosaics.make import MosaicOutcome

#: DQ bits that leave a pixel usable.
GOOD_BITS = {"wfc3_ir": 8768, "acs_wfc": 480}


def drizzled(exposures: ExposureSet, folder: Path, **values: object) -> MosaicOutcome:
    """The mosaics of a set in a folder, with pixels of 0.1 arcsec unless told."""
    settings = MosaicSettings(**{"scale": 0.1, **values})
    return make_mosaics(exposures, settings, GOOD_BITS, folder, HERE)


def files_of(outcome: MosaicOutcome) -> list[Path]:
    """All files, mosaic by mosaic: image, weights, segments, catalog."""
    return [Path(one.folder) / name for one in outcome.products for name in one.files]
