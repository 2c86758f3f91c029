"""A small field whose record can be written and read: files of a few bytes, fits made up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from grism_align.io.files.checksums import file_record
from grism_align.io.missions import file_source
from grism_align.io.missions.hst.facts import TELESCOPE
from grism_align.values.association import Association
from grism_align.values.catalog import CatalogAttempt, ReferenceCatalog, SkySource, astrometric_covariance
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.failure import TooFewMatches
from grism_align.values.field import ExposureSet
from grism_align.values.record import Activity, FilePair
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Governed, Residuals
from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(34.02, -5.0)
GAIA = ("Gaia 1", "Gaia 22", "Gaia 333")
PIXELS = np.array([[0.0, 0.0], [1013.0, 0.0], [500.0, 400.0], [3.0, 1000.0]])


@dataclass(frozen=True)
class TanSky:
    """A plain TAN of square pixels, followed on the sky by corrections."""

    plane0: TangentPlane
    moves: tuple[LinearTransform, ...] = ()
    pixel_scale: float = 0.13

    @property
    def plane(self):
        ra, dec = self.to_sky([[0.0, 0.0]])[0]
        return TangentPlane(float(ra), float(dec))

    def to_sky(self, xy):
        sky = self.plane0.to_sky(np.asarray(xy) * self.pixel_scale)
        for move in self.moves:
            sky = move.apply_to_sky(sky)
        return sky

    def to_pixel(self, sky):
        for move in reversed(self.moves):
            sky = move.inverted().apply_to_sky(sky)
        return self.plane0.to_plane(sky) / self.pixel_scale

    def corrected(self, transform):
        return replace(self, moves=(*self.moves, transform))

    def footprint(self):
        return self.to_sky([[-0.5, -0.5], [1013.5, -0.5], [1013.5, 1013.5], [-0.5, 1013.5]])


def mas_apart(first, second) -> float:
    """Largest distance of positions on the sky, mas."""
    chord = np.linalg.norm(sky_to_vector(first) - sky_to_vector(second), axis=-1)
    return 1e3 * ARCSEC_PER_RADIAN * chord.max()


def file_of(folder: Path, key: str, kind: ExposureKind = ExposureKind.DIRECT) -> Exposure:
    """An exposure whose file has some bytes."""
    path = folder / f"{key}_flt.fits"
    path.write_bytes(f"pixels of {key}".encode())
    number = int(key[-1])
    planes = [TangentPlane(34.0 + 0.01 * number, -5.0), TangentPlane(34.0 + 0.01 * number, -4.99)]
    return Exposure(
        key=key,
        source=file_source(path),
        kind=kind,
        telescope=TELESCOPE,
        instrument="wfc3_ir",
        filter="F140W" if kind is ExposureKind.DIRECT else "G141",
        program="id7y",
        visit="id7y01",
        group="id7y01a",
        guide_star=None if number else "S1AB000123",
        target="UDS",
        dither_offset=(0.0, 0.0),
        start=57000.0 + number,
        end=57000.01 + number,
        exposure_time=803.0,
        ab_zero_point=26.45,
        is_rate=True,
        rejects_cosmic_rays=True,
        chips=tuple(Chip(n + 1, (1014, 1014), TanSky(plane)) for n, plane in enumerate(planes)),
    )


def transform(number: float = 1.0) -> LinearTransform:
    """A shift and roll with errors."""
    covariance = np.diag(np.arange(1.0, 7.0)) * 1e-8
    moved = LinearTransform.from_parameters(PLANE, [0.11 * number, -0.23], 0.013 * number, 1.0002)
    return replace(moved, covariance=covariance)


def fit(number: float = 1.0, matched=(4, 5, 8)) -> ExposureFit:
    """A fit of three sources, one of them clipped."""
    residuals = Residuals(
        np.array([7, 8, 9]),
        np.array(matched),
        np.arange(6.0).reshape(3, 2) - 2.5,
        np.array([1.0, 0.5, 0.0]),
        np.array([0.4, 0.5, 2.5]),
    )
    return ExposureFit(
        FitStatus.ALIGNED,
        transform(number),
        reference="frame",
        frame=1,
        n_matched=3,
        n_used=2,
        rms=1.25,
        false_match_probability=1e-9,
        residuals=residuals,
    )


def recorded_field(folder: Path) -> ExposureSet:
    """Two direct exposures aligned, one failed, one grism exposure."""
    first, second, failed = (file_of(folder, f"direct{n}") for n in (1, 2, 3))
    grism = file_of(folder, "grism4", ExposureKind.GRISM)
    fixed = ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(PLANE), "itself")
    (folder / "gaia.ecsv").write_text("positions")
    return ExposureSet(
        product="uds-f140w",
        exposures=(first, second, failed, grism),
        association=Association("uds", (), origin=str(folder / "uds_asn.json")),
        sources=(
            SkySource(0, 34.01, -5.0, 0.7, 21.5, 2014.9, 0, 2),
            SkySource(4, 34.02, -5.0, float("nan"), 22.5, 2014.9, 1, 3),
        ),
        relative=AlignmentSolution(
            {
                first.key: fixed,
                second.key: fit(),
                failed.key: ExposureFit.failed(TooFewMatches(4, 10)),
            },
            "direct1",
        ),
        absolute=AlignmentSolution({first.key: fit(2.0, GAIA), second.key: fit(2.0, GAIA)}, "Gaia DR3"),
        grism=AlignmentSolution(
            {
                grism.key: ExposureFit(
                    FitStatus.ALIGNED,
                    transform(3.0),
                    governed=Governed(
                        ("direct1", "direct2"), "interpolated", (0.25, 0.75), (-300.0, 100.0), 4.5, ("IDC",)
                    ),
                )
            }
        ),
        reference_catalog=reference(folder / "gaia.ecsv"),
        activities=(
            Activity(
                "relative_align",
                "done",
                "fine",
                {
                    "fitgeometry": "rshift",
                    "kind": ExposureKind.DIRECT,
                    "limits": (1.0, None),
                    "path": folder,
                },
                {"matched": np.int64(12)},
                (CatalogAttempt("Gaia DR3", "ESA", "https://gea/tap", "unreachable", "no answer in 60 s"),),
            ),
            Activity("visit_mosaic", "skipped"),
        ),
        parameter_file="wfc3_ir.asdf",
    )


def reference(origin: object, n: int = 4) -> ReferenceCatalog:
    """Moving stars; the fits match the first three."""
    zeros = np.zeros(n)
    sky = np.column_stack([34.0 + 0.01 * np.arange(n), np.full(n, -5.0)])
    return ReferenceCatalog(
        sky=sky,
        covariance=astrometric_covariance(np.full((n, 2), 0.3), np.full((n, 2), 0.1)),
        motion=np.tile([20.0, -30.0], (n, 1)),
        parallax=zeros,
        radial_velocity=zeros,
        epoch=np.full(n, 2016.0),
        mag=np.linspace(18, 20, n),
        identifier=np.array([*GAIA, "Gaia 4444", "Gaia 55555"][:n]),
        name="Gaia DR3",
        origin=str(origin),
    )


def inputs(exposures: ExposureSet) -> dict[str, FilePair]:
    """The files that were read."""
    return {e.key: FilePair(file_record(e.source)) for e in exposures.exposures}


def with_outputs(exposures: ExposureSet, folder: Path) -> tuple[dict[str, FilePair], ExposureSet]:
    """Write outputs as a mission writer would; the pairs, and the set as read from those."""
    folder.mkdir()
    pairs, read = {}, []
    for exposure in exposures.exposures:
        found = exposures.fit(exposure.key)
        applied = found and found.transform
        path = folder / exposure.source.name
        path.write_bytes(Path(exposure.source).read_bytes() + (b" corrected" if applied else b""))
        pairs[exposure.key] = FilePair(file_record(exposure.source), file_record(path))
        chips = exposure.chips
        if applied:
            chips = tuple(replace(chip, wcs=chip.wcs.corrected(applied)) for chip in chips)
        read.append(replace(exposure, source=file_source(path), chips=chips))
    return pairs, ExposureSet(exposures.product, tuple(read), association=exposures.association)
