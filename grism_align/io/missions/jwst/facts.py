"""What there is to know of JWST."""

from __future__ import annotations

from grism_align.io.gwcs.names import A_PRIORI
from grism_align.values.mission import MissionFacts, PipelineFacts
from grism_align.values.telescope import PointingCoherence, Telescope

#: The data-quality bit of outliers that jwst's outlier_detection finds.
OUTLIER = 16

_NAME = "jwst"

TELESCOPE = Telescope(
    mission=_NAME,
    diameter=6.5,
    coherence=PointingCoherence(
        # nothing occults at L2: a new acquisition has another guide star, or another visit
        drift_time=24.0,
        alignment_time=10.0,
        # of a dither; the attitude tells it, whatever detector
        same_pointing=0.02,
        same_roll=0.05,
        commanded=(A_PRIORI,),
        guided_error=0.3,
        unguided_error=10.0,
    ),
    observer=1.01,
    cosmic_ray_bit=OUTLIER,
)

FACTS = MissionFacts(
    name=_NAME,
    reads="images (_cal) and dispersed exposures with a WCS of JWST's NIRISS or NIRCam",
    dispersers=dict.fromkeys(("GR150R", "GR150C", "GRISMR", "GRISMC")),
    endings=tuple(
        f"_{kind}.fits"
        for kind in ("cal", "crf", "tweakreg", "assignwcsstep", "assign_wcs", "assignwcs", "rate")
    ),
    parameters="grism_align.cfg",
    flags_pixels=False,
    pipeline=PipelineFacts(
        mosaics=("image3", "DMS_Level3_Base"),
        spectra=("spec2", "DMSLevel2bBase"),
        raw_endings=("_rate.fits", "_rateints.fits"),
        processed={
            "image2": ("_cal.fits",),
            # the product of spec2 is cut into sources
            "spec2": ("_assignwcsstep.fits", "_assign_wcs.fits", "_assignwcs.fits"),
        },
        combining=("image3", "spec3"),
        mosaic_endings=("_i2d.fits",),
        # jw, program, observation and visit
        visit_letters=13,
    ),
)
