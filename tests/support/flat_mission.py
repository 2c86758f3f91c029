"""A mission that is not HST, as another package brings it: a detector without distortion, files of arrays.

``FLAT`` is what its entry point leads to. `flat_field` makes exposures of it with a known truth.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grism_align.values.errors import InputError
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.mission import ChipPixels, Corrections, Digests, MissionFacts, Undone
from grism_align.values.source import FileSource
from grism_align.values.telescope import Telescope
from grism_align.values.transform import TangentPlane
from tests.support.images import gaussian_sources, noisy

SHAPE, SCALE, HIT = (300, 300), 0.1, 4
TELESCOPE = Telescope("flat", diameter=1.0, observer=1.01, cosmic_ray_bit=HIT)


@dataclass(frozen=True)
class LinearSky:
    """A PixelSky without distortion.

    Parameters
    ----------
    ra, dec : float, deg
        Of the middle of the detector.
    matrix : (float, float, float, float), arcsec
        East and north of a step along x, and along y.
    """

    ra: float
    dec: float
    matrix: tuple[float, float, float, float] = (-SCALE, 0.0, 0.0, SCALE)

    @property
    def plane(self):
        return TangentPlane(self.ra, self.dec)

    @property
    def axes(self):
        return np.array(self.matrix).reshape(2, 2)

    @property
    def pixel_scale(self):
        return float(np.sqrt(abs(np.linalg.det(self.axes))))

    def to_sky(self, xy):
        return self.plane.to_sky((np.asarray(xy, dtype=float) - _MIDDLE) @ self.axes.T)

    def to_pixel(self, sky):
        return self.plane.to_plane(sky) @ np.linalg.inv(self.axes).T + _MIDDLE

    def corrected(self, transform):
        ra, dec = (float(value) for value in transform.apply_to_sky([self.ra, self.dec]))
        corners = self.footprint()
        before = self.plane.to_plane(corners)
        after = TangentPlane(ra, dec).to_plane(transform.apply_to_sky(corners))
        turn = np.linalg.lstsq(before, after, rcond=None)[0].T
        return LinearSky(ra, dec, tuple((turn @ self.axes).ravel().tolist()))

    def footprint(self):
        ny, nx = SHAPE
        return self.to_sky([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])


_MIDDLE = (np.array(SHAPE[::-1]) - 1) / 2


class _Flat:
    """`Mission` of the files: ``about`` is a JSON text, and ``sci``, ``err`` and ``dq`` are arrays."""

    facts = MissionFacts("flat", "files of the flat detector", {"PRISM": None}, ("_sky.npz",))

    def claims(self, source):
        return source.name.endswith(".npz") and "about" in np.load(source.path)

    def instrument(self, source):
        return self._about(source)["instrument"]

    def read(self, source):
        about = self._about(source)
        wcs, shown = about.pop("wcs"), about.pop("filter")
        names = [one["name"] for one in wcs]
        return Exposure(
            source=source,
            telescope=TELESCOPE,
            kind=ExposureKind.GRISM if shown in self.facts.dispersers else ExposureKind.DIRECT,
            filter=shown,
            guide_star=None,
            group=about["visit"],
            dither_offset=(float("nan"), float("nan")),
            ab_zero_point=25.0,
            is_rate=True,
            rejects_cosmic_rays=True,
            rate_unit="DN/s",
            chips=(Chip(1, SHAPE, _sky(wcs[-1])),),
            wcs_solution=names[-1],
            wcs_name=names[-1],
            taken_names=tuple(names),
            is_product=len(wcs) > 1,
            **{name: value for name, value in about.items() if name != "instrument"},
            instrument=about["instrument"],
        )

    def pixels(self, exposure):
        arrays = np.load(exposure.source.path)
        yield exposure.chips[0], ChipPixels(arrays["sci"], arrays["err"], arrays["dq"])

    def source_catalog(self, exposure):
        return None

    def keywords(self, exposure):
        return {"TELESCOP": ("FLAT", "telescope"), "TARGNAME": (exposure.target, "target")}

    def association(self, source):
        return None

    def solution_name(self, catalog, taken, *, by_exposure):
        return f"{catalog}-{len(taken)}-{'own' if by_exposure else 'joint'}"

    def distortion_models(self, names):
        return frozenset()

    def write(self, exposure, fit, target, label, headerlet):
        about, arrays = self._content(exposure.source)
        if fit.transform is not None:
            wcs = exposure.chips[0].wcs.corrected(fit.transform)
            about["wcs"].append({"name": label.solution, "sky": [wcs.ra, wcs.dec], "matrix": wcs.matrix})
        return Digests(_sha256(exposure.source), self._save(target, about, arrays))

    def flag_cosmic_rays(self, target, masks):
        about, arrays = self._content(target)
        arrays["dq"] = np.where(masks[1].unpacked(), arrays["dq"] | HIT, arrays["dq"] & ~HIT)
        return self._save(target, about, arrays)

    def corrections(self, source):
        names = [one["name"] for one in self._about(source)["wcs"]]
        latest = names[-1] if len(names) > 1 else ""
        return Corrections(latest, frozenset(names[1:-1]), "", is_failed=False)

    def check_undo(self, source):
        if len(self._about(source)["wcs"]) == 1:
            raise InputError(source, "never aligned")

    def undo(self, source, target):
        about, arrays = self._content(source)
        undone = about["wcs"].pop()["name"]
        self._save(target, about, arrays)
        return Undone(source, target, undone, about["wcs"][-1]["name"], len(about["wcs"]) > 1)

    def _about(self, source):
        return self._content(source)[0]

    def _content(self, source) -> tuple[dict[str, Any], dict[str, Any]]:
        with np.load(source.path) as content:
            arrays = dict(content)
        return json.loads(str(arrays.pop("about"))), arrays

    def _save(self, target, about, arrays) -> str:
        with Path(target.path).open("wb") as stream:
            np.savez(stream, about=json.dumps(about), **arrays)
        return _sha256(target)


FLAT = _Flat()


def _sky(entry):
    return LinearSky(*entry["sky"], tuple(entry["matrix"]))


def _sha256(source):
    return hashlib.sha256(Path(source.path).read_bytes()).hexdigest()


@dataclass(frozen=True)
class FlatField:
    """Exposures of a field: their files, true WCSs by key, and the stars, (N, 2) deg."""

    paths: list[Path]
    true: dict[str, LinearSky]
    stars: Any


def flat_field(folder: Path, rng: np.random.Generator) -> FlatField:
    """Make two visits of two dithered images and a dispersed exposure each.

    A visit's WCSs are off by some 0.3 arcsec, together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    center = TangentPlane(150.0, 2.0)
    stars = center.to_sky(rng.uniform(-18.0, 18.0, (60, 2)))
    flux = rng.uniform(1500.0, 20000.0, len(stars))
    paths, true = [], {}
    for visit in range(2):
        error = rng.normal(0.0, 0.3, 2)
        for number, shown in enumerate(("RED", "PRISM", "RED")):
            place = np.array([2.1, -1.3]) * (number // 2) + visit
            ra, dec = (float(value) for value in center.to_sky(place))
            key = f"flat{visit}_{number}"
            true[key] = LinearSky(ra, dec)
            wrong = true[key].plane.to_sky(error)
            light = flux if shown == "RED" else 0 * flux
            sci, err = noisy(gaussian_sources(true[key].to_pixel(stars), light, 1.0, SHAPE), 25.0, rng)
            about = {
                "key": key,
                "instrument": "flat_cam",
                "filter": shown,
                "program": "flat",
                "visit": f"flat{visit}",
                "target": "FIELD",
                "start": 60000.0 + visit + 0.01 * number,
                "end": 60000.005 + visit + 0.01 * number,
                "exposure_time": 400.0,
                "wcs": [{"name": "PLANNED", "sky": wrong.tolist(), "matrix": LinearSky(0, 0).matrix}],
            }
            paths.append(folder / f"{key}_sky.npz")
            FLAT._save(
                FileSource(str(paths[-1])), about, {"sci": sci, "err": err, "dq": np.zeros(SHAPE, int)}
            )
    return FlatField(paths, true, stars)
