"""Catalogs from services: what there is, and how to get it."""

from grism_align.io.catalogs.services.definitions import (
    Mirror,
    Service,
    find_service,
    known_services,
    load_services,
)
from grism_align.io.catalogs.services.fetch import cached_files, fetch_catalog, is_cached

__all__ = [
    "Mirror",
    "Service",
    "cached_files",
    "fetch_catalog",
    "find_service",
    "is_cached",
    "known_services",
    "load_services",
]
