"""Where the spectra of each grism roughly lie."""

from __future__ import annotations

import numpy as np

from grism_align.values.trace import CoarseTrace, TraceModel

#: Where the brightest order of a grism lies, coarsely.
#: As functions of the place on the chip for G141 (aXe configuration G141.F140W V4.31 of STScI) and G102 (from
#: the GRISMCONF configuration made of G102.F105W V4.32). G280: the trace is 175 to 185 pixels above the
#: direct image (GRISMCONF configuration of CCD1, 2021). G800L: 0 to 150 pixels in configurations of aXe.
#: How spectra grow over the chip, at its middle: Kuntschner et al. 2009, ISR WFC3 2009-17 (G141) and 2009-18
#: (G102), Table 5.
COARSE_TRACES: dict[str, CoarseTrace] = {
    "G141": CoarseTrace(
        TraceModel(
            np.array([[0.0], [1.0]]),
            np.array(
                [
                    [2.08196, -1.97521e-4, -2.202067e-3, 3.14351e-8, 4.32128e-7, 1.21044e-7],
                    [0.0102053, -6.06057e-6, -3.24856e-6, 4.23639e-10, 1.23096e-8, 1.61231e-9],
                ]
            ),
            (15.0, 196.0),
        ),
        12,
        (-215.0, -180.0),
        (0.006, -0.057),
    ),
    "G102": CoarseTrace(
        TraceModel(
            np.array([[0.0], [1.0]]),
            np.array(
                [
                    [-0.171937, -2.23217e-4, -1.882425e-3, -6.92919e-9, 4.76437e-7, 1.88677e-7],
                    [0.0141057, -6.53048e-6, -1.48870e-6, -7.38786e-10, 1.31026e-8, -3.95976e-10],
                ]
            ),
            (36.0, 236.0),
        ),
        12,
        (-270.0, -235.0),
        (0.004, -0.064),
    ),
    "G800L": CoarseTrace(TraceModel.straight(5.0, 150.0, 0.0), 16, (-125.0, -95.0)),
    "G280": CoarseTrace(TraceModel.straight(-360.0, -165.0, 0.0), 220, (-10.0, 10.0)),
}
