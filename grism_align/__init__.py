"""Align direct and grism exposures of several visits with each other and with the sky."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("grism_align")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.1.0.dev0"

__all__ = ["__version__"]
