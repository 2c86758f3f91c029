"""What there is to know of Roman."""

from __future__ import annotations

from grism_align.io.gwcs.names import A_PRIORI
from grism_align.values.mission import MissionFacts, PipelineFacts
from grism_align.values.telescope import PointingCoherence, Telescope

#: The package's name of the Wide Field Instrument.
WFI = "roman_wfi"
#: The data-quality bit of outliers that romancal's outlier_detection finds.
OUTLIER = 128

_NAME = "roman"

TELESCOPE = Telescope(
    mission=_NAME,
    diameter=2.36,
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
    reads="calibrated exposures (_cal.asdf) of Roman's Wide Field Instrument, images and spectra",
    dispersers=dict.fromkeys(("PRISM", "GRISM")),
    endings=tuple(
        f"_{kind}.asdf"
        for kind in ("cal", "tweakregstep", "tweakreg", "skymatch", "outlier_detection", "assignwcsstep")
    ),
    parameters="grism_align.cfg",
    headerlet_ending="_wcs.asdf",
    headerlet_follows=True,
    flags_pixels=False,
    # the pipeline for mosaics takes any type; that of skycell_asn
    pipeline=PipelineFacts(
        mosaics=("image", "DMS_ELPP_Base"), spectra=None, mosaic_endings=("_coadd.asdf", "_i2d.asdf")
    ),
)
