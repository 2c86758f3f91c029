"""What tests of open models of JWST share: where a few pixels are, in models and in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure

#: For `pytestmark`: models and their copies share open files, which jwst's containers leave to the garbage
#: collector.
SHARED_FILES = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: Pixels of an exposure of `tests.support.jwst_models`.
PIXELS = np.array([[0.0, 0.0], [159.0, 12.0], [70.0, 159.0]])


def sky_of(model: Any) -> NDArray[np.float64]:
    """RA and Dec, deg, of `PIXELS` by the WCS of a model, without dispersion."""
    wcs = model.meta.wcs
    others = (1.5, 1.0) if "grism_detector" in wcs.available_frames else ()
    to_sky = wcs.get_transform("detector", "world")
    return np.column_stack(to_sky(*PIXELS.T, *(np.full(len(PIXELS), one) for one in others))[:2])


def assert_same_sky(sky: NDArray[np.float64], exposure: Exposure) -> None:
    """Compare `sky_of` a model with an exposure that was read, to 0.004 mas."""
    np.testing.assert_allclose(sky, exposure.chips[0].wcs.to_sky(PIXELS), rtol=0, atol=1e-9)
