"""What is on record as tables, an exposure or a measurement a row, with units and descriptions.

Names of units and descriptions are those that the record declares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import MaskedColumn, Table

from grism_align.values.declaration import declarations_of
from grism_align.values.failure import advice_on, text_of
from grism_align.values.record import Detections, Displacement, ExposureRecord
from grism_align.values.solution import ExposureFit, FitStatus, Governed, Residuals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from grism_align.values.failure import Remark

    _Columns = Iterable[tuple[str, MaskedColumn]]

_UNITS = {"pixel": "pix", "MJD (UTC)": "d", "Julian year": "yr"}
_ARCSEC = 1e3


@dataclass(frozen=True)
class _Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Its heading.
    text, unit : str
        What it is.
    kind : type
        float, int or str.
    value : callable
        Takes an exposure's name and record.
    digits : int or None
        Decimals that mean something; None for all.
    """

    name: str
    text: str
    unit: str
    kind: type
    value: Callable[[str, ExposureRecord], Any]
    digits: int | None = None


def results_table(name: str, exposures: Mapping[str, ExposureRecord], product: str = "") -> Table:
    """Return what is on record of exposures, or of their matches.

    Parameters
    ----------
    name : str
        One of `TABLES`: ``fits``, an exposure a row, or ``matches``, a measurement a row. A source that an
        exposure shares with others and with the catalog has two, one for each fit.
    exposures : mapping of str to ExposureRecord
        By root name.
    product : str, optional
        For the table's meta.

    Returns
    -------
    astropy.table.Table
        Numbers that nobody knows are masked.
    """
    content, columns = TABLES[name]
    table = Table(meta={"product": product, "content": content})
    for heading, column in columns(exposures):
        table[heading] = column
    return table


def _fits_columns(exposures: Mapping[str, ExposureRecord]) -> _Columns:
    for column in _FITS:
        yield column.name, _masked([column.value(key, one) for key, one in exposures.items()], column)


def _matches_columns(exposures: Mapping[str, ExposureRecord]) -> _Columns:
    parts = [part for key, record in exposures.items() for part in _matches(key, record)]
    for name, (text, unit, kind) in _MATCHES.items():
        values = np.concatenate([np.zeros(0, dtype=kind), *(part[name] for part in parts)])
        yield name, _masked(values, _Column(name, text, unit, kind, _nothing))


def _nothing(*_: object) -> None:
    return None


def _masked(values: Iterable[Any], column: _Column) -> MaskedColumn:
    """Make a column in which what nobody knows is masked."""
    values = list(values)
    if column.kind is str:
        made = MaskedColumn(np.array(["" if one is None else str(one) for one in values], dtype=np.str_))
    else:
        missing = np.array([one is None or not np.isfinite(one) for one in values], dtype=bool)
        known = [0 if gap else one for one, gap in zip(values, missing, strict=True)]
        numbers: np.ndarray[Any, Any] = np.array(known, dtype=column.kind)
        digits = column.digits
        made = MaskedColumn(numbers if digits is None else np.round(numbers, digits) + 0, mask=missing)
    made.unit = column.unit or None
    made.description = column.text
    return made


def _declared(cls: Any, name: str) -> tuple[str, str]:
    """Return what a field is and its unit, as it is declared for the record."""
    one = next(each for each in declarations_of(cls) if each.name == name)
    return one.help.replace("`", "").replace("; NaN where unknown", "").rstrip("."), _UNITS.get(
        one.unit, one.unit
    )


def _of_record(name: str, kind: type = str, digits: int | None = None) -> _Column:
    text, unit = _declared(ExposureRecord, name)
    return _Column(name, text, unit, kind, lambda _, record: getattr(record, name), digits)


def _of_visit() -> Iterable[_Column]:
    yield _Column("exposure", "Root name", "", str, lambda key, _: key)
    yield _of_record("visit")
    yield _Column("kind", "direct or grism", "", str, lambda _, record: record.kind.value)
    yield from (_of_record(name) for name in ("instrument", "filter"))
    yield _of_record("start", float, 8)
    yield _of_record("exposure_time", float, 3)
    yield _Column("tracking", _declared(ExposureRecord, "tracking")[0], "", str, _tracking)


def _tracking(_: str, record: ExposureRecord) -> str:
    return str(record.tracking)


def _total(record: ExposureRecord) -> ExposureFit | None:
    return record.total


def _of_total() -> Iterable[_Column]:
    yield _Column("status", "REFERENCE, ALIGNED, PRIOR_ONLY or FAILED", "", str, _status)
    yield _Column("frame", _declared(ExposureFit, "frame")[0], "", int, _frame)
    yield _Column("governed_by", _declared(Governed, "exposures")[0], "", str, _governors)
    yield _Column("rule", _declared(Governed, "rule")[0], "", str, partial(_governed, name="rule"))
    text, unit = _declared(Governed, "propagation_error")
    yield _Column("propagation_error", text, unit, float, partial(_governed, name="propagation_error"), 3)


def _status(_: str, record: ExposureRecord) -> str:
    fit = _total(record)
    return (fit.status if fit else FitStatus.NOT_FITTED).value


def _frame(_: str, record: ExposureRecord) -> int | None:
    fit = _total(record)
    return fit.frame if fit and fit.transform else None


def _governed(_: str, record: ExposureRecord, name: str) -> Any:
    fit = _total(record)
    return getattr(fit.governed, name) if fit and fit.governed else None


def _governors(_: str, record: ExposureRecord) -> str:
    fit = _total(record)
    return " ".join(fit.governors) if fit else ""


def _of_displacement() -> Iterable[_Column]:
    at = "at the exposure's own reference point"
    yield _Column(
        "shift_east", f"Whole correction to the east, {at}", "mas", float, partial(_shift, axis=0), 3
    )
    yield _Column("shift_north", "The same to the north", "mas", float, partial(_shift, axis=1), 3)
    yield _Column("shift_px", "Length of the shift", "pix", float, _shift_px, 5)
    for name, digits in (("roll", 7), ("scale", 9), ("skew", 7), ("error", 4)):
        text, unit = _declared(Displacement, name)
        yield _Column(name, text, unit, float, partial(_displacement, name=name), digits)
    yield _Column("error_px", "The same in pixels", "pix", float, _error_px, 6)


def _shift(_: str, record: ExposureRecord, axis: int) -> float | None:
    return None if record.displacement is None else float(record.displacement.shift[axis])


def _shift_px(_: str, record: ExposureRecord) -> float | None:
    there = record.displacement
    return None if there is None else float(np.hypot(*there.shift)) / record.pixel_side


def _displacement(_: str, record: ExposureRecord, name: str) -> Any:
    return None if record.displacement is None else getattr(record.displacement, name)


def _error_px(_: str, record: ExposureRecord) -> float | None:
    return None if record.displacement is None else record.displacement.error / record.pixel_side


_FIT_NAMES = (
    ("matched", "n_matched", int, None),
    ("used", "n_used", int, None),
    ("rms", "rms", float, 3),
    ("reduced_chi2", "reduced_chi2", float, 4),
    ("leverage", "leverage", float, 4),
    ("false_match", "false_match_probability", float, None),
    ("geometry", "geometry", str, None),
)


def _of_fits() -> Iterable[_Column]:
    for step, prefix, what in (
        ("relative", "", "Fit to other exposures"),
        ("absolute", "catalog_", "Fit to the catalog"),
    ):
        if step == "absolute":
            value = partial(_fit, step=step, name="reference")
            yield _Column("catalog", "What the exposure is tied to", "", str, value)
        for name, field, kind, digits in _FIT_NAMES:
            text, unit = _declared(ExposureFit, field)
            value = partial(_fit, step=step, name=field)
            yield _Column(
                f"{prefix}{name}", f"{what}: {text[0].lower()}{text[1:]}", unit, kind, value, digits
            )


def _fit(_: str, record: ExposureRecord, step: str, name: str) -> Any:
    fit: ExposureFit | None = getattr(record, step)
    return None if fit is None or fit.transform is None else getattr(fit, name)


_SPECTRA = (
    ("spectra_moved", "moved_px", "By how much its own spectra moved a grism exposure"),
    ("spectra_error", "moved_error", "Standard error of what is left of its offset"),
)
_TRACES = (
    (
        "trace_offset",
        "after_px",
        "How far traces lie, across the dispersion, from where the corrected WCS says",
    ),
    ("trace_error", "after_error", "Standard error of that"),
)


def _of_spectra() -> Iterable[_Column]:
    for at, axis in enumerate(("along", "across")):
        for name, field, text in _SPECTRA:
            value = partial(_spectra, name=field, at=at)
            yield _Column(f"{name}_{axis}", f"{text}, {axis} the dispersion", "pix", float, value, 5)
    for name, field, text in _TRACES:
        yield _Column(name, text, "pix", float, partial(_trace, name=field), 5)


def _spectra(_: str, record: ExposureRecord, name: str, at: int) -> float | None:
    check = record.spectra
    return float(getattr(check, name)[at]) if check and check.is_measured else None


def _trace(_: str, record: ExposureRecord, name: str) -> float | None:
    check = record.traces
    return float(getattr(check, name)) if check and check.is_measured else None


def _of_remarks() -> Iterable[_Column]:
    yield _Column("codes", "What is remarked, as codes", "", str, _codes)
    yield _Column("reason", "The same in words", "", str, lambda _, record: text_of(_remarks(record)))
    yield _Column("advice", "What to do about it", "", str, _advice)
    yield _Column("file", "The file with the corrected WCS", "", str, _file)


def _remarks(record: ExposureRecord) -> tuple[Remark, ...]:
    fit = _total(record)
    return fit.remarks if fit else ()


def _codes(_: str, record: ExposureRecord) -> str:
    return " ".join(dict.fromkeys(each.code.name for one in _remarks(record) for each in one.with_causes()))


def _advice(_: str, record: ExposureRecord) -> str:
    remarks = _remarks(record)
    return advice_on(remarks) if remarks else ""


def _file(_: str, record: ExposureRecord) -> str:
    return record.output.path if record.output else ""


_FITS = tuple(
    column
    for group in (_of_visit, _of_total, _of_displacement, _of_fits, _of_spectra, _of_remarks)
    for column in group()
)

#: What each column of the matches is: text, unit and type.
_MATCHES: dict[str, tuple[str, str, type]] = {
    "exposure": ("Root name", "", str),
    "fit": ("relative, to the other exposures, or absolute, to the catalog", "", str),
    **{name: (*_declared(Detections, name), int) for name in ("source", "id", "chip")},
    **{name: (*_declared(Detections, name), float) for name in ("x", "y", "ra", "dec", "mag")},
    "matched": ("Identifier in the catalog, or number of the source in the relative frame", "", str),
    "residual_east": (f"{_declared(Residuals, 'offset')[0]}: east", "mas", float),
    "residual_north": ("The same to the north", "mas", float),
    **{name: (*_declared(Residuals, name), float) for name in ("weight", "error")},
}
_DIGITS = {"x": 4, "y": 4, "ra": 9, "dec": 9, "mag": 4}


def _matches(key: str, record: ExposureRecord) -> Iterable[dict[str, Any]]:
    """Return the columns of each fit of an exposure."""
    for step in ("relative", "absolute"):
        fit: ExposureFit | None = getattr(record, step)
        if fit is None or fit.residuals is None:
            continue
        found = fit.residuals
        number = np.asarray(found.matched if step == "relative" else found.source, dtype=np.int64)
        east, north = np.round(found.offset, 4).T
        yield {
            "exposure": np.full(len(number), key),
            "fit": np.full(len(number), step),
            "source": number,
            **_detected(record.detections, number),
            "matched": found.matched.astype(str),
            "residual_east": east,
            "residual_north": north,
            "weight": np.round(found.weight, 5),
            "error": np.round(found.error, 4),
        }


def _detected(detections: Detections | None, number: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return where sources were seen; NaN, which is masked later, where nobody knows."""
    names = ("id", "chip", "x", "y", "ra", "dec", "mag")
    found = {name: np.full(len(number), np.nan) for name in names}
    if detections is not None and len(detections.source):
        at = np.searchsorted(detections.source, number).clip(max=len(detections.source) - 1)
        is_seen = detections.source[at] == number
        for name in names:
            column = np.asarray(getattr(detections, name), dtype=float)[at[is_seen]]
            found[name][is_seen] = np.round(column, _DIGITS[name]) if name in _DIGITS else column
    return found


#: What is in each table of the results, and what makes its columns, by the name that its file has.
TABLES: dict[str, tuple[str, Callable[[Mapping[str, ExposureRecord]], _Columns]]] = {
    "fits": ("exposures and their corrections", _fits_columns),
    "matches": ("matched sources and their residuals", _matches_columns),
}
