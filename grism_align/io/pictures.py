"""Pictures in grey as JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def jpeg(shades: NDArray[np.uint8], quality: int) -> bytes:
    """Return a picture, (ny, nx) shades whose first row is the uppermost, as JPEG of a quality up to 95."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(shades).save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()
