"""In notebooks steps keep quiet, unless they are asked to tell."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from stpipe import Step

from grism_align.steps.source_catalog_step import SourceCatalogStep

KERNEL = SimpleNamespace(kernel="of a notebook")


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        (None, {}, {}),
        (SimpleNamespace(), {}, {}),
        (KERNEL, {}, {"configure_log": False}),
        (KERNEL, {"configure_log": True}, {"configure_log": True}),
        (KERNEL, {"logcfg": "mine.cfg"}, {"logcfg": "mine.cfg"}),
    ],
)
def test_messages_are_for_who_asks(monkeypatch, shell, words, expected):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(Step, "call", classmethod(lambda cls, *given, **options: options))
    assert SourceCatalogStep.call("field_asn.json", **words) == expected
