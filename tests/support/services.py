"""Services and cones for the tests."""

from __future__ import annotations

from dataclasses import replace

from grism_align.io.catalogs.services import Mirror, Service
from grism_align.io.catalogs.services.definitions import Column
from grism_align.values.region import Cone
from grism_align.values.settings import ServiceSettings
from tests.support.tap_responder import stars

CONE = Cone(150.0, 2.0, 0.05)
REFUSED = "http://127.0.0.1:9/tap"  # the discard port, where nothing listens


def mirror(url, name="here", **changes):
    columns = {role: (Column(role),) for role in stars()}
    return replace(Mirror(name, url, "some.table", columns), **changes)


def service(*mirrors, **changes):
    return replace(Service("LOCAL", "Made up", (), 0.0, mirrors), **changes)


def settings(**changes):
    return ServiceSettings(**{"timeout": 20.0, "retries": 0, **changes})
