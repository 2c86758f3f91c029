"""A record is not believed blindly: what can't be, or contradicts the rest, is refused with its entry."""

from __future__ import annotations

from dataclasses import replace

import asdf
import numpy as np
import pytest

from grism_align.io.record.file import read_record, write_record
from grism_align.values.errors import InputError
from grism_align.values.field import ExposureSet
from grism_align.values.record import EarlierRecord
from grism_align.workflows.restore import restore
from grism_align.workflows.results.record import make_record
from tests.support.recorded_fields import inputs, recorded_field


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return recorded_field(tmp_path_factory.mktemp("field"))


@pytest.fixture(scope="module")
def path(field, tmp_path_factory):
    """A record that is believed; not to be changed."""
    path = tmp_path_factory.mktemp("record") / "p.asdf"
    write_record(path, make_record(field, inputs(field)))
    read_record(path)
    return path


def _changed(path, target, change):
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        tree = dict(file.tree)
    change(tree["grism_align"])
    asdf.AsdfFile(tree).write_to(target)
    return target


def _of_all(entry, value):
    """Change an entry of all corrections."""

    def change(record):
        for name in ("relative", "absolute", "grism"):
            record["exposures"][name]["transform"][entry][:] = value

    return change


def _of_first(*place):
    """Change an entry of the second exposure, direct2."""

    def change(record):
        *way, value = place
        node = record["exposures"]
        for name in way:
            node = node[name]
        node[1] = value

    return change


def _renamed(record):
    names = record["exposures"]["name"].astype(str).tolist()
    record["exposures"]["name"] = np.array(["../victim" if name == "direct1" else name for name in names])
    record["models"]["../victim"] = record["models"].pop("direct1")


def _of_all_chips(record):
    record["exposures"]["input_wcs"]["chips"]["items"]["shape"][:] = 10**9


def _of_another(record):
    models = record["models"]
    models["direct1"], models["direct2"] = models["direct2"], models["direct1"]


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        (_of_all("shift", [1e308, 0.0]), "transform.shift"),
        (_of_all("shift", [float("nan"), 0.0]), "transform"),
        (_of_all("matrix", [[0.0, 0.0], [0.0, 0.0]]), "transform"),
        (_of_all("matrix", [[2.0, 0.0], [0.0, 2.0]]), "transform.matrix"),
        (_of_all("covariance", -np.eye(6)), "transform.covariance"),
        (_of_all("covariance", np.inf), "transform.covariance"),
        (_of_all("shift", [0.7, 0.0]), "direct1.displacement"),
        (_of_another, "models.direct1"),
        (lambda record: record["models"].pop("direct1"), "models"),
        (_of_first("displacement", "shift", [1.0, 2.0]), "direct2.displacement"),
        (_of_first("total", "n_used", 77), "direct2.total"),
        (_of_first("total", "known", False), "direct2.total"),
        (_of_first("plane", "dec", 91.0), "direct2"),
        (_of_first("start", float("inf")), "direct2"),
        (_of_all_chips, "input_wcs"),
        (_renamed, "exposures"),
        (lambda record: record.update(product="../victim/x"), "product"),
    ],
)
def test_what_can_not_be(path, tmp_path, change, entry):
    other = _changed(path, tmp_path / "p.asdf", change)
    with pytest.raises(InputError) as caught:
        read_record(other)
    assert caught.value.path == str(other)
    assert entry in caught.value.problem


def test_a_correction_starts_from_the_wcs_on_record(field, path):
    """The checksum says that it is the very file: then its WCS is the one on record."""
    read = ExposureSet(field.product, field.exposures, association=field.association)
    record = read_record(path)
    assert restore(read, EarlierRecord(str(path), record)).relative.fits
    entry = record.exposures["direct2"]
    chips = tuple(replace(chip, sky=chip.sky + np.array([0.0, 1e-7])) for chip in entry.input_wcs.chips)
    moved = replace(entry, input_wcs=replace(entry.input_wcs, chips=chips))
    changed = replace(record, exposures={**record.exposures, "direct2": moved})
    with pytest.raises(InputError) as caught:
        restore(read, EarlierRecord(str(path), changed))
    assert caught.value.path == str(path)
    assert "exposures.direct2.input_wcs" in caught.value.problem
