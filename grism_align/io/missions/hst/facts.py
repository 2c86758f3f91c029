"""What there is to know of HST."""

from __future__ import annotations

from grism_align.io.missions.hst.coarse_traces import COARSE_TRACES
from grism_align.values.mission import MissionFacts
from grism_align.values.telescope import PointingCoherence, Telescope

#: Chips of the detectors that are read.
CHIPS = {"IR": 1, "UVIS": 2, "WFC": 2}

_NAME = "hst"

TELESCOPE = Telescope(
    mission=_NAME,
    diameter=2.4,
    coherence=PointingCoherence(
        # overheads within an orbit, buffer dumps among them, are shorter than an occultation
        longest_idle=1500.0,
        # half the coherence of a period of an orbit, that of what makes it drift
        drift_time=0.6,
        alignment_time=10.0,
        # distortions leave 0.007" between the centres of a filter's and a grism's chip, and a turn of 0.1 deg
        same_pointing=0.05,
        same_roll=0.2,
        commanded=("IDC", "GSC", "HSC", "OPUS"),
        # positions of guide stars; and, of gyros, what the HST Primer says of absolute pointings
        guided_error=0.5,
        unguided_error=14.0,
    ),
    cosmic_ray_bit=4096,
)

FACTS = MissionFacts(
    name=_NAME,
    reads="calibrated FLT or FLC files of WFC3/IR, WFC3/UVIS or ACS/WFC",
    dispersers=COARSE_TRACES,
    # CTE-corrected before not, plain before compressed
    endings=tuple(f"_{kind}.fits{packed}" for kind in ("flc", "flt") for packed in ("", ".gz", ".fz")),
    # poller files of single-visit and of multi-visit mosaics (drizzlepac.haputils.poller_utils)
    listing_columns=(8, 10),
    parameters="grism_align.cfg",
    headerlet_ending="_hlet.fits",
    attaches_headerlets=True,
)
