"""The schema describes every entry of a record, and no other."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from grism_align.values.trace import TraceCheck
from tests.support.reports import field, record, stamps

# Of the parts whose keys are data: parameters, counts, exposures.
OPEN = {"settings", "counts", "software"}
# Null in the record at hand: of a service there is no checksum; no list of sources is given along.
UNKNOWN = {"aligned_sources", "guide_star", "sha256"}


@pytest.fixture(scope="module")
def schema():
    folder = resources.files("grism_align.io.record").joinpath("schemas")
    whole = yaml.safe_load(folder.joinpath("provenance-1.0.0.yaml").read_text(encoding="utf-8"))
    return whole["properties"]["grism_align"]


@pytest.fixture(scope="module")
def tree():
    found = record(field(), stamps=stamps())
    found["activities"][0]["attempts"] = [*found["activities"][-1]["attempts"]]
    found["reference_catalog"]["file"] = "field_refcat.ecsv"
    for entry in found["exposures"].values():
        entry["applied"] = entry["total"]["transform"]
        if entry["kind"] == "grism":
            entry["traces"] = vars(TraceCheck(9, 0.6, 0.03, 0.02, 0.03, "of F140W"))
    return found


def _alternatives(schema):
    return [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]


def _compare(entry, schema, place, seen):
    """Walk through a record along its schema; what either has alone."""
    for one in _alternatives(schema):
        if isinstance(entry, dict) and "properties" in one:
            seen.setdefault(place, set()).update(one["properties"])
            yield from (
                f"{place}.{name} is not in the schema" for name in entry if name not in one["properties"]
            )
            for name, value in entry.items():
                if name in one["properties"]:
                    yield from _compare(value, one["properties"][name], f"{place}.{name}", seen)
                    if value is not None:
                        seen.setdefault(f"{place}!", set()).add(name)
        elif isinstance(entry, dict) and isinstance(one.get("additionalProperties"), dict):
            for value in entry.values():
                yield from _compare(value, one["additionalProperties"], f"{place}.*", seen)
        elif isinstance(entry, list) and isinstance(one.get("items"), dict):
            for value in entry:
                yield from _compare(value, one["items"], f"{place}[]", seen)


def test_every_entry_is_described(tree, schema):
    assert list(_compare(tree, schema, "", {})) == []


def test_all_that_is_described_is_recorded(tree, schema):
    seen: dict[str, set[str]] = {}
    list(_compare(tree, schema, "", seen))
    for place, described in seen.items():
        if not place.endswith("!") and place.rsplit(".", 1)[-1] not in OPEN:
            left_out = {"residuals"} if place.endswith((".total", ".grism")) else {"governed"}
            missing = described - seen.get(f"{place}!", set()) - UNKNOWN - left_out
            assert not missing, place
