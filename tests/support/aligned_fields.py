"""Simulated fields with their true corrections on record, as a run that found them would leave them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.io.record.file import read_record, write_record
from grism_align.simulation import SceneSettings, Simulation, Truth, simulate
from grism_align.values.failure import NoSources
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from tests.support.executors import HERE
from tests.support.fields import associate
from tests.support.governed import governed
from tests.support.residuals import star_residuals

if TYPE_CHECKING:
    from pathlib import Path

#: Why the exposures fail that are made to.
NOT_FOUND = NoSources(6.0)


@dataclass(frozen=True, eq=False)
class AlignedField:
    """Exposures as fetched, and what a run made of them.

    Parameters
    ----------
    raw, out : Path
        Folders of the files before and after.
    truth : Truth
        What was simulated.
    record : Path
        The provenance file.
    """

    raw: Path
    out: Path
    truth: Truth
    record: Path

    @property
    def names(self) -> list[str]:
        return [path.name for path in self.truth.paths]

    def fetched(self, folder: Path, *changes: tuple[str, str, object]) -> Path:
        """The raw files with other bytes; (start of the root name, keyword, value) changed in SCI headers."""
        folder.mkdir(parents=True)
        for path in self.truth.paths:
            with fits.open(self.raw / path.name) as hdus:
                hdus[0].header["DATE"] = "2031-01-01"
                for root, keyword, value in changes:
                    if path.name.startswith(root):
                        for hdu in (hdu for hdu in hdus if hdu.name == "SCI"):
                            hdu.header[keyword] = value
                hdus.writeto(folder / path.name)
        return folder


def make_aligned(simulation: Simulation, folder: Path, failed: tuple[int, ...] = ()) -> AlignedField:
    """Simulate a field and write what a run would that finds the truth; some exposures fail."""
    # no source is looked at
    empty = replace(simulation, scene=SceneSettings(star_density=1.0, galaxy_density=1.0))
    truth = simulate(empty, folder / "raw", np.random.default_rng(5))
    exposures = load(associate(truth.paths))
    lost = {exposures.exposures[number].key for number in failed}
    relative, absolute, grism = {}, {}, {}
    for e in exposures.exposures:
        if e.key in lost:
            (relative if e.is_direct else grism)[e.key] = ExposureFit.failed(NOT_FOUND)
        elif e.is_direct:
            first = LinearTransform.from_parameters(e.plane, (0.21, -0.13), 0.004)
            rest = first.inverted().then(truth[e.key].correction(e.plane))
            relative[e.key] = _fit(first, "frame")
            absolute[e.key] = _fit(rest, "TRUTH")
        else:
            governor = truth[e.key].governor
            moved = truth[e.key].correction(exposures[governor].plane)
            grism[e.key] = replace(_fit(moved, "TRUTH"), governed=governed(governor))
    solved = replace(
        exposures,
        relative=AlignmentSolution(relative, "frame"),
        absolute=AlignmentSolution(absolute, "TRUTH"),
        grism=AlignmentSolution(grism, "TRUTH"),
    )
    destination = Destination(folder / "out", in_place=False)
    write_results(solved, destination, HERE)
    record = destination.provenance("field")
    return AlignedField(folder / "raw", folder / "out", truth, record)


def _fit(transform: LinearTransform, reference: str) -> ExposureFit:
    return ExposureFit(
        FitStatus.ALIGNED,
        transform,
        reference,
        n_matched=40,
        n_used=40,
        rms=2.0,
        rms_axes=(2.0, 2.0),
        geometry="shift",
        residuals=star_residuals(np.ones(40), named=reference == "TRUTH"),
    )


def rewrite_record(record: Path, target: Path, changes) -> Path:
    """A copy of a record that says other things of its exposures."""
    found = read_record(record)
    entries = {key: changes(key, entry) for key, entry in found.exposures.items()}
    write_record(target, replace(found, exposures=entries))
    return target


def wcs_names(folder: Path, names: list[str]) -> list[str]:
    """WCSNAMEs of all science extensions."""
    found = []
    for name in names:
        with fits.open(folder / name) as hdus:
            found += [hdu.header["WCSNAME"] for hdu in hdus if hdu.name == "SCI"]
    return found


def all_bytes(folder: Path) -> dict[str, bytes]:
    """The content of every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
