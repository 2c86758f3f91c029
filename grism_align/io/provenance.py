"""The record of a run as an ASDF file: every fit, what it was made with, and of which files."""

from __future__ import annotations

import logging
import platform
import struct
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.atomic import atomic_path
from grism_align.io.checksums import sha256_of
from grism_align.io.source_catalogs import plain
from grism_align.values.errors import InputError
from grism_align.values.field import Activity, ExposureSet, SkySource
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.exposure import Exposure

__all__ = ["SCHEMA_VERSION", "FilePair", "FileRecord", "read_provenance", "restore", "write_provenance"]

#: Version of the layout, also in the name of the schema that describes it.
SCHEMA_VERSION = "1.0.0"

_ROOT = "grism_align"
_STEPS = ("relative", "absolute", "grism")
_PACKAGES = ("grism_align", "numpy", "astropy", "asdf", "stpipe")
_FIT_VALUES = (
    "reference",
    "frame",
    "n_matched",
    "n_used",
    "rms",
    "false_match_probability",
    "reason",
    "rule",
    "geometry",
)
# Not in the first records.
_LATER_FIT_VALUES = ("reduced_chi2", "leverage", "includes_earlier")
_REMEDY = "Give the provenance file that a step of grism_align wrote"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileRecord:
    """One file as it was.

    Parameters
    ----------
    path : str
        Where it was.
    sha256 : str
        Of its bytes, 64 hexadecimal digits.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path | str) -> FileRecord:
        """The record of a file as it is now."""
        return cls(str(path), sha256_of(path))


@dataclass(frozen=True)
class FilePair:
    """What was read of an exposure and what was written.

    Parameters
    ----------
    input : FileRecord
        The file that was read.
    output : FileRecord or None
        The file with the corrected WCS, None where none was written.
    """

    input: FileRecord
    output: FileRecord | None = None


def write_provenance(
    path: Path | str,
    exposures: ExposureSet,
    files: Mapping[str, FilePair],
    reference: Mapping[str, Any] | None = None,
) -> None:
    """Write all that is known of a set of exposures, checked against the schema.

    Parameters
    ----------
    path : path-like
        The file to make or to replace; it is the old one or the whole new one.
    exposures : ExposureSet
        The exposures as they were read (`Exposure.applied` is what the input file's WCS had), with
        the solutions found.
    files : mapping of str to FilePair
        The files of every exposure, by key.
    reference : mapping, optional
        Identity of the reference catalog from an earlier record (``tree["reference_catalog"]``), for
        a set that was restored and so has fits, but not the catalog itself.
    """
    import asdf

    tree = {_ROOT: _tree(exposures, files, reference)}
    with _schema() as schema, atomic_path(Path(path)) as temporary:
        asdf.AsdfFile(tree, custom_schema=schema).write_to(temporary)


def read_provenance(path: Path | str) -> dict[str, Any]:
    """Read a record that `write_provenance` wrote, checked against the schema.

    Parameters
    ----------
    path : path-like
        The ASDF file; it is closed when this returns.

    Returns
    -------
    dict
        What the file has under its key ``grism_align``, arrays in memory.

    Raises
    ------
    InputError
        If the file is missing, no ASDF file, not of grism_align, of another version of the schema or
        doesn't follow it.
    """
    import yaml  # type: ignore[import-untyped]

    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such provenance file", _REMEDY)
    try:
        return _checked_content(path)
    except (LookupError, OSError, TypeError, ValueError, struct.error, yaml.YAMLError) as error:
        raise InputError(path, f"not a readable ASDF file ({_brief(error)})", _REMEDY) from error


def restore(exposures: ExposureSet, tree: Mapping[str, Any]) -> ExposureSet:
    """Put back what is on record, so that a step continues where the one before it stopped.

    An exposure whose file is the one on record as input has its fits again. So has one whose file is
    the output on record; the correction that this has becomes `Exposure.applied` and is taken off the
    WCSs of its chips, which so are those before any correction. An exposure that isn't on record, or
    whose file has changed since, stays as it is, without fits.

    Parameters
    ----------
    exposures : ExposureSet
        As just read from files.
    tree : mapping
        What `read_provenance` gave.

    Returns
    -------
    ExposureSet
        A new one, without the reference catalog itself: the record has only its name.
    """
    records = tree["exposures"]
    restored = {e.key: _restored(e, records.get(e.key)) for e in exposures.exposures}
    known = [key for key, exposure in restored.items() if exposure is not None]
    if not known:
        return exposures
    relative, absolute, grism = (_solution(tree, step, known) for step in _STEPS)
    return replace(
        exposures,
        exposures=tuple(restored[e.key] or e for e in exposures.exposures),
        sources=_sources(tree["sources"]),
        relative=relative,
        absolute=absolute,
        grism=grism,
        activities=tuple(Activity(**activity) for activity in tree["activities"]),
        parameter_file=tree["parameter_file"],
    )


# --- to the tree ---


def _tree(
    exposures: ExposureSet, files: Mapping[str, FilePair], reference: Mapping[str, Any] | None
) -> dict[str, Any]:
    catalog = exposures.reference_catalog
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "product": exposures.product,
        "parameter_file": exposures.parameter_file,
        "association": exposures.association.origin.name if exposures.association.origin else "",
        "activities": [plain(vars(activity)) for activity in exposures.activities],
        "solutions": {step: {"reference": getattr(exposures, step).reference} for step in _STEPS},
        "sources": _source_columns(exposures.sources),
        "reference_catalog": plain(reference) if catalog is None else _reference_entry(catalog),
        "exposures": dict(_exposure_entries(exposures, files)),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _source_columns(sources: Sequence[SkySource]) -> dict[str, Any]:
    integers = {"number", "component", "n_exposures"}
    return {
        column.name: np.array(
            [getattr(source, column.name) for source in sources],
            dtype=np.int64 if column.name in integers else np.float64,
        )
        for column in fields(SkySource)
    }


def _reference_entry(catalog: ReferenceCatalog) -> dict[str, Any]:
    file = Path(catalog.origin)
    return {
        "name": str(catalog.name),
        "origin": str(catalog.origin),
        "n": len(catalog),
        "sha256": sha256_of(file) if catalog.origin and file.is_file() else None,
    }


def _exposure_entries(
    exposures: ExposureSet, files: Mapping[str, FilePair]
) -> Iterator[tuple[str, dict[str, Any]]]:
    total = exposures.total.fits
    for exposure in exposures.exposures:
        key = exposure.key
        yield (
            key,
            {
                "kind": exposure.kind.value,
                **{name: str(getattr(exposure, name)) for name in ("instrument", "filter", "visit", "group")},
                "guide_star": exposure.guide_star,
                "wcs_solution": exposure.wcs_solution,
                **{name: float(getattr(exposure, name)) for name in ("start", "end", "exposure_time")},
                **asdict(files[key]),
                "applied": _transform_entry(exposure.applied),
                # the residuals of the total are those of its last step, which has them
                "total": _fit_entry(total.get(key), with_residuals=False),
                **{step: _fit_entry(getattr(exposures, step).fits.get(key)) for step in _STEPS},
            },
        )


def _fit_entry(fit: ExposureFit | None, *, with_residuals: bool = True) -> dict[str, Any] | None:
    if fit is None:
        return None
    entry = {
        "status": fit.status.value,
        "reason": fit.reason,
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
        "governed_by": [str(key) for key in fit.governed_by],
        "rule": fit.rule,
        "geometry": fit.geometry,
        "transform": _transform_entry(fit.transform),
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


def _transform_entry(transform: LinearTransform | None) -> dict[str, Any] | None:
    if transform is None:
        return None
    return {
        "matrix": transform.matrix.tolist(),
        "shift": transform.shift.tolist(),
        "plane": {"ra": float(transform.plane.ra), "dec": float(transform.plane.dec)},
        "covariance": transform.covariance.tolist(),
        "shift_mas": (1e3 * transform.shift).tolist(),
        "roll_deg": transform.roll,
        "scale": transform.scale,
        "skew_deg": transform.skew,
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


# --- from the tree ---


def _schema() -> Any:
    """A context with the path of the schema, which exists in a zipped package too."""
    folder = resources.files("grism_align.io").joinpath("schemas")
    return resources.as_file(folder.joinpath(f"provenance-{SCHEMA_VERSION}.yaml"))


def _checked_content(path: Path) -> dict[str, Any]:
    import asdf

    try:
        content: dict[str, Any] = _open(path, check=True)[_ROOT]
    except asdf.ValidationError as error:
        raise InputError(path, _misfit(_open(path, check=False), error), _REMEDY) from error
    return content


def _open(path: Path, *, check: bool) -> dict[str, Any]:
    """The whole tree of an ASDF file, in memory."""
    import asdf

    with _schema() as schema, asdf.config_context() as config:
        # asdf checks what it reads only when told to, and only warns of arrays that are cut off
        config.validate_on_read = check
        config.warn_on_failed_conversion = False
        config.lazy_tree = False
        custom = schema if check else None
        with asdf.open(path, custom_schema=custom, lazy_load=False, memmap=False) as file:
            return dict(file.tree)


def _misfit(tree: Mapping[str, Any], error: Exception) -> str:
    """Why a tree doesn't follow the schema."""
    content = tree.get(_ROOT)
    if not isinstance(content, dict) or "schema_version" not in content:
        return "an ASDF file, but not a provenance file of grism_align"
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        return f"written with version {version} of the schema, and this is {SCHEMA_VERSION}"
    return f"doesn't follow the schema ({_brief(error)})"


def _brief(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _restored(exposure: Exposure, record: Mapping[str, Any] | None) -> Exposure | None:
    """The exposure as its record has it, None where its file isn't on record."""
    if record is None:
        logger.warning("%s: not on record; taken as never aligned", exposure.path)
        return None
    checksum = sha256_of(exposure.path) if exposure.path.is_file() else None
    output, applied = record["output"], record["applied"]
    if checksum != record["input"]["sha256"]:
        if not output or checksum != output["sha256"] or Path(output["path"]).name != exposure.path.name:
            logger.warning("%s: not the file on record; taken as never aligned", exposure.path)
            return None
        total = record["total"]
        applied = (total and total["transform"]) or applied
    restored = _without(exposure, _transform(applied))
    # the headers name the solution that was written, the chips are back at the one before
    return replace(restored, wcs_solution=record["wcs_solution"])


def _without(exposure: Exposure, applied: LinearTransform | None) -> Exposure:
    """The exposure with `applied` on record and taken off its chips' WCSs."""
    # a reader that knows the correction itself, from the file's headers, has taken it off
    if applied is None or exposure.applied is not None:
        return exposure
    undo = applied.inverted()
    chips = tuple(replace(chip, wcs=chip.wcs.corrected(undo)) for chip in exposure.chips)
    return replace(exposure, chips=chips, applied=applied)


def _solution(tree: Mapping[str, Any], step: str, keys: Sequence[str]) -> AlignmentSolution:
    entries = {key: tree["exposures"][key][step] for key in keys}
    fits = {key: _fit(entry) for key, entry in entries.items() if entry is not None}
    return AlignmentSolution(fits, tree["solutions"][step]["reference"])


def _fit(entry: Mapping[str, Any]) -> ExposureFit:
    residuals = entry.get("residuals")
    return ExposureFit(
        status=FitStatus(entry["status"]),
        transform=_transform(entry["transform"]),
        governed_by=tuple(entry["governed_by"]),
        residuals=residuals and _residuals(residuals),
        rms_axes=tuple(entry.get("rms_axes", ExposureFit.rms_axes)),
        **{name: entry[name] for name in _FIT_VALUES},
        **{name: entry[name] for name in _LATER_FIT_VALUES if name in entry},
    )


def _transform(entry: Mapping[str, Any] | None) -> LinearTransform | None:
    if entry is None:
        return None
    plane = TangentPlane(entry["plane"]["ra"], entry["plane"]["dec"])
    return LinearTransform(entry["matrix"], entry["shift"], plane, entry["covariance"])


def _sources(columns: Mapping[str, Any]) -> tuple[SkySource, ...]:
    names = [column.name for column in fields(SkySource)]
    rows = zip(*(np.asarray(columns[name]).tolist() for name in names), strict=True)
    return tuple(SkySource(*row) for row in rows)


def _residuals(columns: Mapping[str, Any]) -> Residuals:
    given = {name: np.array(values) for name, values in columns.items()}
    # The first records have no errors.
    return Residuals(**{"error": np.full(len(given["weight"]), np.nan), **given})
