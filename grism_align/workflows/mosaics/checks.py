"""What must be so before mosaics are made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.algorithms.mosaics.cosmic_rays import ASTROSCRAPPY_IS_MISSING, has_astroscrappy
from grism_align.algorithms.mosaics.grid import plan_mosaics
from grism_align.io.missions import facts_of
from grism_align.io.mosaics.files import read_grid
from grism_align.values.errors import InputError, OutputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import MosaicGrid
    from grism_align.values.settings import MosaicSettings


# Farther no pointing is corrected, arcsec.
_LARGEST_SHIFT = 600.0
#: Of a mosaic that a pipeline makes unless told otherwise: 15 times those of an exposure of WFC3/UVIS.
MOST_PIXELS = 250_000_000
SUFFIXES = ("drz_sci.fits", "drz_wht.fits", "seg.fits", "cat.ecsv")


def check_products(
    exposures: ExposureSet, settings: MosaicSettings, folder: Path, inputs: Iterable[Path]
) -> None:
    """Refuse, before any work, mosaics that would replace a file that is read.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.
    folder : Path
        Where the mosaics would go.
    inputs : iterable of Path
        Files besides the exposures that are read.

    Raises
    ------
    OutputError
        If one would.
    """
    products = _product_paths(exposures, settings, folder)
    for path in inputs:
        if path.expanduser().resolve() in products:
            problem = "it is read, and a mosaic's product of that name would replace it"
            raise OutputError(path, problem, "Give another output_dir, or that file under another name")


def check_rejection(settings: MosaicSettings) -> None:
    """Refuse, before any work, a way to find cosmic rays for which a package is missing.

    Parameters
    ----------
    settings : MosaicSettings
        The parameters.

    Raises
    ------
    SettingsError
        If the Laplacian filter is asked for without astroscrappy.
    """
    if settings.cosmic_rays == "laplacian" and not has_astroscrappy():
        name = "cosmic_rays"
        raise SettingsError(name, settings.cosmic_rays, ASTROSCRAPPY_IS_MISSING)


def _product_paths(exposures: ExposureSet, settings: MosaicSettings, folder: Path) -> set[Path]:
    """Return the absolute paths of all files that mosaics of a set of exposures may have."""
    plans = plan_mosaics(exposures.direct, exposures.product, settings)
    return {(folder / f"{plan.name}_{suffix}").resolve() for plan in plans for suffix in SUFFIXES}


def check_size(exposures: ExposureSet, settings: MosaicSettings) -> None:
    """Refuse mosaics that are too large to be made for everybody.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.

    Raises
    ------
    InputError
        If one has more than `MOST_PIXELS`.
    """
    for plan in plan_mosaics(exposures.direct, exposures.product, settings):
        ny, nx = plan.grid.shape
        if ny * nx > MOST_PIXELS:
            problem = f"it would have {nx} x {ny} pixels, {12e-9 * nx * ny:.1f} GB with its catalog"
            raise InputError(plan.name, problem, "Make it with grism_visit_mosaic, or with a larger scale")


def check_units(exposures: ExposureSet, settings: MosaicSettings) -> None:
    """Refuse, before any work, a mosaic of exposures whose pixels are in different units.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.

    Raises
    ------
    InputError
        If the pixels of two exposures of one mosaic are, as those in electrons and in counts.
    """
    by_key = {exposure.key: exposure for exposure in exposures.direct}
    for plan in plan_mosaics(exposures.direct, exposures.product, settings):
        first, *others = (by_key[key] for key in plan.keys)
        odd = next((other for other in others if other.rate_unit != first.rate_unit), None)
        if odd is not None:
            problem = f"its pixels are in {odd.rate_unit}, those of {first.key} in {first.rate_unit}"
            raise InputError(odd.source, problem, "Leave one of them out, or calibrate them alike")


def check_flags(exposures: ExposureSet, settings: MosaicSettings) -> None:
    """Refuse, before any work, to flag pixels of exposures whose mission has its own way to do so.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.

    Raises
    ------
    InputError
        If `flag_exposures` is asked for of such an exposure.
    """
    for exposure in exposures.direct if settings.flag_exposures else ():
        if not facts_of(exposure).flags_pixels:
            name = exposure.telescope.mission.upper()
            problem = f"pixels of {name} are not flagged"
            remedy = (
                f"Set flag_exposures to false, and leave that to the pipeline of {name} (outlier_detection)"
            )
            raise InputError(exposure.source, problem, remedy)


def check_grid(exposures: ExposureSet, settings: MosaicSettings) -> None:
    """Refuse, before any work, an image for the pixels that is far from all exposures.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.

    Raises
    ------
    InputError
        If it is farther than any correction moves them.
    """
    if exposures.direct:
        given_grid(settings, exposures.direct, _LARGEST_SHIFT)


def given_grid(
    settings: MosaicSettings, exposures: Iterable[Exposure], margin: float = 0.0
) -> MosaicGrid | None:
    """Return the pixels of the image that was given; None without one.

    Parameters
    ----------
    settings : MosaicSettings
        They may name an image.
    exposures : iterable of Exposure
        Those that go into mosaics.
    margin : float, arcsec
        Some chip must come so near the pixels.

    Raises
    ------
    InputError
        If none does.
    """
    if not settings.grid_image:
        return None
    path = Path(settings.grid_image).expanduser()
    grid = read_grid(path)
    if not any(grid.shows(chip.wcs.footprint(), margin) for exposure in exposures for chip in exposure.chips):
        raise InputError(
            path, "none of the direct exposures falls on its pixels", "Give an image of the field"
        )
    return grid
