"""What the record of a run says: exposures, fits, sources and catalogs as entries of a tree."""

from __future__ import annotations

import platform
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.builtin import to_builtin
from grism_align.io.record.catalog_entries import aligned_entry, reference_entry
from grism_align.io.record.input_wcs import start_entry
from grism_align.values.failure import remark_entry
from grism_align.values.field import SkySource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from grism_align.values.field import Activity, ExposureSet
    from grism_align.values.mosaic import MosaicProduct
    from grism_align.values.solution import ExposureFit, Residuals
    from grism_align.values.transform import LinearTransform, TangentPlane

from grism_align.io.record.fields import STEPS, Companions, FilePair

__all__ = ["record_tree"]


_PACKAGES = ("grism_align", "numpy", "astropy", "asdf", "stpipe")


def record_tree(
    exposures: ExposureSet, files: Mapping[str, FilePair], companions: Companions, version: str
) -> dict[str, Any]:
    """All that is known of a set of exposures.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    files : mapping of str to FilePair
        The files of every exposure, by key.
    companions : Companions
        The catalogs beside the record.
    version : str
        Of the schema.
    """
    return {
        "schema_version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "product": exposures.product,
        "parameter_file": exposures.parameter_file,
        "association": Path(exposures.association.origin).name,
        "activities": [_activity_entry(activity) for activity in exposures.activities],
        "solutions": {step: {"reference": getattr(exposures, step).reference} for step in STEPS},
        "sources": _source_columns(exposures.sources),
        "aligned_sources": aligned_entry(companions.aligned, companions.aligned_file),
        "reference_catalog": reference_entry(
            exposures, companions.reference_file, companions.earlier_reference
        ),
        "stamps": None if companions.stamps is None else dict(companions.stamps),
        "mosaics": [_mosaic_entry(product) for product in companions.mosaics],
        "exposures": dict(_exposure_entries(exposures, files)),
    }


def _mosaic_entry(product: MosaicProduct) -> dict[str, Any]:
    plan, grid = product.plan, product.plan.grid
    entry: dict[str, Any] = to_builtin(
        {
            "name": plan.name,
            "filter": plan.filter,
            "exposures": list(plan.keys),
            "files": dict(product.files),
            "n_sources": product.n_sources,
            "frame": {
                "crval": [grid.plane.ra, grid.plane.dec],
                "crpix": (grid.origin + 1).tolist(),
                "cd_arcsec": grid.matrix.tolist(),
                "shape": list(grid.shape),
            },
        }
    )
    return entry


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _source_columns(sources: Sequence[SkySource]) -> dict[str, Any]:
    integers = {"number", "frame", "n_exposures"}
    return {
        column.name: np.array(
            [getattr(source, column.name) for source in sources],
            dtype=np.int64 if column.name in integers else np.float64,
        )
        for column in fields(SkySource)
    }


def _activity_entry(activity: Activity) -> dict[str, Any]:
    entry: dict[str, Any] = to_builtin(
        {**vars(activity), "attempts": [vars(one) for one in activity.attempts]}
    )
    return entry


def _exposure_entries(
    exposures: ExposureSet, files: Mapping[str, FilePair]
) -> Iterator[tuple[str, dict[str, Any]]]:
    total = exposures.total.fits
    for exposure in exposures.exposures:
        key, place = exposure.key, exposure.plane
        yield (
            key,
            {
                "kind": exposure.kind.value,
                **{name: str(getattr(exposure, name)) for name in ("instrument", "filter", "visit", "group")},
                "guide_star": exposure.guide_star,
                "wcs_solution": exposure.wcs_solution,
                "starting_wcs": start_entry(exposure),
                "plane": {"ra": float(place.ra), "dec": float(place.dec)},
                **{name: float(getattr(exposure, name)) for name in ("start", "end", "exposure_time")},
                **asdict(files[key]),
                "applied": _transform_entry(exposure.applied, place),
                # the residuals of the total are those of its last step, which has them
                "total": _fit_entry(total.get(key), place, with_residuals=False),
                **{step: _fit_entry(getattr(exposures, step).fits.get(key), place) for step in STEPS},
                "traces": asdict(exposures.traces[key]) if key in exposures.traces else None,
            },
        )


def _fit_entry(
    fit: ExposureFit | None, place: TangentPlane, *, with_residuals: bool = True
) -> dict[str, Any] | None:
    if fit is None:
        return None
    entry = {
        "status": fit.status.value,
        "reason": fit.reason,
        "remarks": [remark_entry(remark) for remark in fit.remarks],
        "reference": fit.reference,
        "frame": int(fit.frame),
        "n_matched": int(fit.n_matched),
        "n_used": int(fit.n_used),
        "rms": float(fit.rms),
        "rms_axes": [float(axis) for axis in fit.rms_axes],
        "reduced_chi2": float(fit.reduced_chi2),
        "leverage": float(fit.leverage),
        "includes_earlier": bool(fit.includes_earlier),
        "false_match_probability": float(fit.false_match_probability),
        "governed": to_builtin(vars(fit.governed)) if fit.governed else None,
        "given_by": fit.given_by,
        "geometry": fit.geometry,
        "transform": _transform_entry(fit.transform, place),
    }
    return {**entry, "residuals": _residual_columns(fit.residuals)} if with_residuals else entry


def _residual_columns(residuals: Residuals | None) -> dict[str, Any] | None:
    if residuals is None:
        return None
    matched = np.array(residuals.matched)
    return {
        # copies: of a view, ASDF would store all that it looks into
        "source": np.array(residuals.source, dtype=np.int64),
        "matched": matched if matched.dtype.kind in "iuU" else matched.astype(str),
        "offset": np.array(residuals.offset, dtype=float).reshape(-1, 2),
        "weight": np.array(residuals.weight, dtype=float),
        "error": np.array(residuals.error, dtype=float),
    }


def _transform_entry(transform: LinearTransform | None, place: TangentPlane) -> dict[str, Any] | None:
    """The map, and for reading what it is at the exposure's reference point."""
    if transform is None:
        return None
    there = transform.at(place)
    return {
        "matrix": transform.matrix.tolist(),
        "shift": transform.shift.tolist(),
        "plane": {"ra": float(transform.plane.ra), "dec": float(transform.plane.dec)},
        "covariance": transform.covariance.tolist(),
        "shift_mas": (1e3 * there.shift).tolist(),
        "roll_deg": there.roll,
        "scale": there.scale,
        "skew_deg": there.skew,
        "model": _sky_model(transform),
    }


def _sky_model(transform: LinearTransform) -> Any:
    """The transform as an astropy model from (RA, Dec) to (RA, Dec), deg."""
    from astropy.modeling import models

    plane = (float(transform.plane.ra), float(transform.plane.dec))
    # with the native pole at 180 deg, x and y of the TAN projection are xi and eta, in deg
    return (
        models.RotateCelestial2Native(*plane, 180.0)
        | models.Sky2Pix_TAN()
        | models.AffineTransformation2D(matrix=transform.matrix.copy(), translation=transform.shift / 3600.0)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(*plane, 180.0)
    )
