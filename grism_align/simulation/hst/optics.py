"""Where the chips of HST's cameras look, and how they distort."""

from __future__ import annotations

from dataclasses import dataclass

#: Powers (x, y) of the SIP terms, in the order in which `ChipOptics` lists their coefficients.
SIP_TERMS = tuple((total - q, q) for total in (2, 3, 4) for q in range(total + 1))


@dataclass(frozen=True)
class ChipOptics:
    """Where one chip looks when the instrument points at RA = Dec = 0 with +y to the north.

    Parameters
    ----------
    ccdchip : int
        Number of the chip; EXTVER 1 of the two-chip cameras is CCDCHIP 2.
    crpix : (x, y), pixels, one-based
        Reference pixel.
    offset : (xi, eta), arcsec
        Direction of the reference pixel in the tangent plane of the pointing.
    cd : ((CD1_1, CD1_2), (CD2_1, CD2_2)), arcsec/pixel
        Linear terms, without velocity aberration.
    a, b : tuple of float
        SIP coefficients, in the order of `SIP_TERMS`.
    idc : tuple of float
        OCX10, OCX11, OCY10, OCY11, IDCV2REF, IDCV3REF.
    opus_crpix : (x, y), pixels, one-based
        Reference pixel of the 'O' WCS.
    """

    ccdchip: int
    crpix: tuple[float, float]
    offset: tuple[float, float]
    cd: tuple[tuple[float, float], tuple[float, float]]
    a: tuple[float, ...]
    b: tuple[float, ...]
    idc: tuple[float, float, float, float, float, float]
    opus_crpix: tuple[float, float]
