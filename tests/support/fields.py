"""Simulated fields for the tests of reading, writing and steps, and what is asked of their files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.io.associations import write_association
from grism_align.io.missions import read_exposure
from grism_align.simulation import (
    SceneSettings,
    Simulation,
    Truth,
    case_c,
    score,
    simulate,
    usual_scene,
)
from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector
from grism_align.workflows.associate import build_association

if TYPE_CHECKING:
    from pathlib import Path

#: Cuts that are simulated in a fraction of a second.
SMALL = {"wfc3_ir": 96, "acs_wfc": (64, 96), "wfc3_uvis": (64, 96)}

#: Where nobody looks at sources.
EMPTY = SceneSettings(star_density=1.0, galaxy_density=1.0)


@dataclass(frozen=True, eq=False)
class Field:
    """A simulated field on disk.

    Parameters
    ----------
    folder : Path
        Holds the exposures.
    truth : Truth
        What was simulated.
    association : Path
        Of all exposures; its product is ``field``.
    catalog : Path
        The true positions, with epoch and proper motions.
    """

    folder: Path
    truth: Truth
    association: Path
    catalog: Path

    def copied(self, folder: Path) -> Path:
        """The association in a copy of the exposures."""
        shutil.copytree(self.folder, folder)
        return folder / self.association.name


def make_field(simulation: Simulation, folder: Path, seed: int = 3) -> Field:
    """Simulate a field; its catalog lies beside the folder of the exposures."""
    truth = simulate(simulation, folder / "in", np.random.default_rng(seed))
    catalog = folder / "truth.ecsv"
    truth.catalog.write(catalog, format="ascii.ecsv")
    return Field(folder / "in", truth, associate(truth.paths), catalog)


def few_galaxies(size: int) -> SceneSettings:
    """The usual stars of a cut of WFC3/IR, and a third of the galaxies, whose spectra take long."""
    return replace(usual_scene("wfc3_ir", size), galaxy_density=50.0)


def few_of_case_c(size: int) -> Simulation:
    """Case C with seven exposures: a direct one for two grism exposures, and two pairs."""
    plan = case_c(size=size)
    one, other = (visit.exposures for visit in plan.visits)
    exposures = one[:3], (*other[:2], *other[3:5])
    visits = (replace(visit, exposures=few) for visit, few in zip(plan.visits, exposures, strict=True))
    return replace(plan, visits=tuple(visits))


def associate(paths: list[Path], product: str = "field") -> Path:
    """The association of exposures of one folder, written there."""
    association = build_association([read_exposure(path) for path in paths], product)
    return write_association(association, paths[0].parent / f"{product}_asn.json")


def written_wcs(folder: Path, names: list[str]):
    """WCSs of files by key and chip, by our own reader, which is held against others elsewhere."""
    exposures = [read_exposure(folder / name) for name in names]
    return {(e.key, chip.number): chip.wcs for e in exposures for chip in e.chips}


def score_of(truth: Truth, folder: Path):
    """How far the files of a folder are from the truth."""
    found = written_wcs(folder, [path.name for path in truth.paths])
    return score(truth, lambda key, extver: found[key, extver])


def grid(shape: tuple[int, int], n: int = 5) -> np.ndarray:
    """Zero-based pixels all over a chip."""
    ny, nx = shape
    return np.stack(np.meshgrid(np.linspace(0, nx - 1, n), np.linspace(0, ny - 1, n)), -1).reshape(-1, 2)


def apart(first, second) -> float:
    """The largest distance of two lists of sky positions, mas."""
    chord = np.linalg.norm(sky_to_vector(first) - sky_to_vector(second), axis=-1)
    return float(1e3 * ARCSEC_PER_RADIAN * chord.max())


def wcs_apart(first: Path, second: Path) -> float:
    """The largest distance of the WCSs of two files of one exposure, mas."""
    chips = zip(read_exposure(first).chips, read_exposure(second).chips, strict=True)
    return max(
        apart(one.wcs.to_sky(grid(one.shape)), other.wcs.to_sky(grid(other.shape))) for one, other in chips
    )


def raw_hdus(path: Path) -> list[tuple[str, bytes, bytes]]:
    """Name, header block and data block of every extension, as bytes of the (uncompressed) file."""
    content = path.read_bytes()
    with fits.open(path, disable_image_compression=True) as hdus:
        infos = [(f"{hdu.name},{hdu.ver}", hdu.fileinfo()) for hdu in hdus]
    return [
        (
            name,
            content[i["hdrLoc"] : i["datLoc"]],
            content[i["datLoc"] : i["datLoc"] + i["datSpan"]],
        )
        for name, i in infos
    ]


def edited(source: Path, target: Path, *changes: tuple[object, str, object]) -> Path:
    """A copy of a file with some cards changed: (extension, keyword, value), deleted where it is None."""
    with fits.open(source) as hdus:
        for extension, keyword, value in changes:
            if value is None:
                hdus[extension].header.remove(keyword, ignore_missing=True, remove_all=True)
            else:
                hdus[extension].header[keyword] = value
        hdus.writeto(target)
    return target
