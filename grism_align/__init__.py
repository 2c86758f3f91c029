"""Align direct and grism exposures of several visits with each other and with the sky.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used, so that
``import grism_align`` costs next to nothing.
"""

from typing import Any

import lazy_loader

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _public_name(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("grism_align")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.1.0.dev0"
