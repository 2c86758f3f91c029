"""The schema of a record, made from the declarations of its values."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from grism_align.io.files.asdf_settings import asdf_settings
from grism_align.io.record.migrations import VERSION, VERSION_KEY
from grism_align.io.record.models import MODELS, SCHEMA
from grism_align.io.record.parts import part_of
from grism_align.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Under which key of an ASDF file the record is.
ROOT = "grism_align"

#: What ASDF calls the schema.
SCHEMA_URI = f"asdf://grism-align/schemas/provenance-{VERSION}"


@cache
def schema_text() -> str:
    """Return the schema as YAML, in the words of JSON schema and of ASDF."""
    import yaml  # type: ignore[import-untyped]

    record = part_of(Record).schema()
    version = {"description": "Of this layout.", "enum": [VERSION]}
    record["properties"] = {VERSION_KEY: version, **record["properties"], MODELS: SCHEMA}
    record["required"] = [VERSION_KEY, *record["required"], MODELS]
    whole = {
        "$schema": "http://stsci.edu/schemas/yaml-schema/draft-01",
        "id": SCHEMA_URI,
        "title": "What grism_align did to the exposures of one field",
        "description": "Numbers that nobody knows are NaN.",
        "type": "object",
        "required": [ROOT],
        "properties": {ROOT: record},
    }
    dumper = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper
    text: str = yaml.dump(whole, Dumper=dumper, sort_keys=False, width=110)
    return f"%YAML 1.1\n---\n{text}...\n"


@contextmanager
def known_schema() -> Iterator[str]:
    """Make the schema known to ASDF; its URI."""
    with asdf_settings() as config:
        config.add_resource_mapping({SCHEMA_URI: schema_text().encode()})
        yield SCHEMA_URI
