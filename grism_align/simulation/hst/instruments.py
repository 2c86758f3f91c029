"""The cameras of HST that can be simulated: geometry, noise and spectral elements. Numbers only.

Geometry, distortion and header cards are those of real exposures: WFC3/IR ib6o23rtq (F140W) and ib6o23rsq
(G141), WFC3/UVIS ib4606c6q, ACS/WFC j94f05bgq. Zero points, sky levels and traces are rounded values of
the instrument handbooks.
"""

from __future__ import annotations

from grism_align.simulation.camera import UsualProgram
from grism_align.simulation.detector import Readout
from grism_align.simulation.elements import Element, Order
from grism_align.simulation.hst.camera import HstCamera
from grism_align.simulation.hst.optics import ChipOptics


def _filter(name: str) -> tuple[str, str]:
    """Return the two wheels of ACS with one filter in."""
    return ("CLEAR1L", name) if name in {"F435W", "F814W"} else (name, "CLEAR2L")


_ELEMENTS: dict[str, dict[str, Element]] = {
    "wfc3_ir": {
        "F098M": Element(0.986, 0.16, 25.67, 0.45, ("F098M",)),
        "F105W": Element(1.055, 0.27, 26.26, 0.65, ("F105W",)),
        "F110W": Element(1.153, 0.44, 26.82, 1.10, ("F110W",)),
        "F125W": Element(1.249, 0.28, 26.23, 0.65, ("F125W",)),
        "F140W": Element(1.392, 0.38, 26.45, 0.75, ("F140W",)),
        "F160W": Element(1.537, 0.27, 25.94, 0.65, ("F160W",)),
        "G102": Element(
            0.999,
            0.30,
            26.1,
            0.75,
            ("G102",),
            (
                Order(41, 248, 0.6, 0.0098, 0.94),
                Order(-252, -248, -2.0, 0.0, 0.015, number=0),
                Order(250, 480, 1.0, 0.015, 0.04, number=2),
            ),
        ),
        "G141": Element(
            1.389,
            0.50,
            26.6,
            1.20,
            ("G141",),
            (
                Order(15, 196, 1.4, 0.0085, 0.93),
                Order(-198, -193, -1.0, 0.0, 0.015, number=0),
                Order(196, 430, 2.5, 0.012, 0.05, number=2),
            ),
        ),
    },
    "wfc3_uvis": {
        "F350LP": Element(0.585, 0.47, 26.9, 0.10, ("F350LP",)),
        "F555W": Element(0.531, 0.16, 25.8, 0.05, ("F555W",)),
        "F606W": Element(0.589, 0.22, 26.1, 0.12, ("F606W",)),
        "F814W": Element(0.804, 0.16, 25.1, 0.10, ("F814W",)),
        "G280": Element(
            0.377,
            0.20,
            25.3,
            0.07,
            ("G280",),
            (Order(-360, -165, 8.0, -0.012, 0.80), Order(-3, 3, 0.0, 0.0, 0.15, number=0)),
        ),
    },
    "acs_wfc": {
        "F435W": Element(0.433, 0.10, 25.7, 0.03, _filter("F435W")),
        "F606W": Element(0.592, 0.22, 26.5, 0.12, _filter("F606W")),
        "F775W": Element(0.769, 0.15, 25.7, 0.08, _filter("F775W")),
        "F814W": Element(0.804, 0.18, 25.94, 0.10, _filter("F814W")),
        "F850LP": Element(0.904, 0.13, 24.85, 0.06, _filter("F850LP")),
        "G800L": Element(
            0.747,
            0.35,
            26.2,
            0.20,
            _filter("G800L"),
            (
                Order(5, 158, -1.0, -0.035, 0.90),
                Order(-116, -108, 3.0, -0.03, 0.03, number=0),
                Order(130, 300, -3.0, -0.035, 0.06, number=2),
            ),
        ),
    },
}

_IR_IDC = (7.86257500e-4, 0.135428727, 0.120958298, -4.2557648e-4, 1.019000053, -0.507000029)

_IR_DIRECT = ChipOptics(
    ccdchip=1,
    crpix=(507.0, 507.0),
    offset=(0.0, 0.0),
    cd=((-0.1354282765, 8.422999e-5), (5.49024061e-4, 0.1209608259)),
    a=(
        *(-2.070173555e-07, 2.441764372e-05, 2.774820309e-08),
        *(-1.985173361e-10, 1.222554993e-10, 3.114773382e-11, 4.556918397e-11),
        *(-3.215678447e-13, 4.139477118e-13, 1.112752478e-13, 6.088320456e-13, -2.008317997e-13),
    ),
    b=(
        *(6.922760695e-06, -2.853820205e-07, 2.988150549e-05),
        *(5.140145539e-11, -2.383665673e-10, 7.472709611e-11, -2.277797049e-10),
        *(-5.735240906e-13, 3.810442000e-13, 1.385571158e-13, 1.699839400e-13, 1.039784709e-12),
    ),
    idc=_IR_IDC,
    opus_crpix=(557.0, 557.0),
)

# Written about pixel (442, 507), 65 px from the filters' reference pixel: so far apart are the two in the
# 'O' WCSs of the real pair. A correction copied as a change of CRVAL goes wrong by it.
_IR_GRISM = ChipOptics(
    ccdchip=1,
    crpix=(442.0, 507.0),
    offset=(8.803131006, -0.032595612),
    cd=((-0.1354347106, 3.06781289e-4), (4.46891180e-4, 0.1209664162)),
    a=(
        *(-1.912107463e-07, 2.439764346e-05, 9.903776181e-08),
        *(-1.637896589e-10, 2.275789643e-11, 2.521036840e-11, 3.342199566e-12),
        *(-2.819617730e-13, 5.437891135e-13, 2.329588419e-14, 5.177608262e-13, -2.009588965e-13),
    ),
    b=(
        *(6.932467206e-06, -1.082544081e-07, 2.992198767e-05),
        *(1.890816769e-10, -3.191946458e-10, 8.600038430e-11, -2.347719168e-10),
        *(-5.926873265e-13, 5.658978830e-14, -1.757781580e-13, -5.120639485e-14, 7.230166154e-13),
    ),
    idc=_IR_IDC,
    opus_crpix=(492.0, 557.0),
)

_UVIS = (
    ChipOptics(
        ccdchip=2,
        crpix=(2048.0, 1026.0),
        offset=(0.023701077, -41.226256737),
        cd=((-0.03977117532, -6.130124e-5), (2.450560541e-3, 0.03984145240)),
        a=(
            *(2.930811635e-06, -3.007330990e-06, 9.687522165e-08),
            *(3.055841347e-11, -1.261709227e-11, 1.521713963e-11, 1.839771374e-11),
            *(-7.458238590e-15, 6.659297867e-15, -1.725583406e-14, 1.067766594e-14, -1.572417890e-14),
        ),
        b=(
            *(-5.831928550e-08, 2.814702551e-06, -3.118242575e-06),
            *(1.801162772e-13, 1.029020872e-11, -5.079459585e-12, 1.492705379e-11),
            *(2.818335988e-15, -6.694073536e-16, 1.897393657e-14, 8.680791402e-15, 1.731201554e-14),
        ),
        idc=(1.75079636e-4, 0.0397780091, 0.0398411117, 2.33698799e-3, -27.4596, -33.2604),
        opus_crpix=(2048.0, 1026.0),
    ),
    ChipOptics(
        ccdchip=1,
        crpix=(2048.0, 1026.0),
        offset=(-0.023701077, 41.226256737),
        cd=((-0.03953376559, -1.609191e-5), (2.693325095e-3, 0.03937015519)),
        a=(
            *(2.880976870e-06, -2.894628387e-06, -1.630053740e-08),
            *(2.502732248e-11, -5.107673549e-12, 1.661693302e-11, -1.071240213e-13),
            *(-1.117406598e-15, 9.384272935e-16, 4.005393735e-16, 1.279956385e-14, 6.334978145e-15),
        ),
        b=(
            *(-8.529638205e-10, 2.829336414e-06, -2.881143361e-06),
            *(1.093376798e-11, 9.763892182e-13, -4.059258482e-12, 4.065998177e-11),
            *(-2.323744145e-15, -3.227877209e-15, -6.541032707e-15, -5.164928369e-15, -2.191322650e-14),
        ),
        idc=(1.28523723e-4, 0.0395412967, 0.0393699519, 2.58043059e-3, 30.642796, 25.242006),
        opus_crpix=(2048.0, 1026.0),
    ),
)

_ACS = (
    ChipOptics(
        ccdchip=2,
        crpix=(2048.0, 1024.0),
        offset=(-0.106845944, -51.991673408),
        cd=((-0.04972012574, 2.08206678e-4), (3.638172988e-3, 0.05031236201)),
        a=(
            *(8.551277583e-06, -5.197457647e-06, 2.166159530e-06),
            *(-4.730444829e-10, -3.977154775e-11, -5.234870744e-10, 1.081935198e-11),
            *(2.374301062e-14, 1.971022972e-15, 3.467912671e-14, -2.456997554e-14, 1.493561712e-14),
        ),
        b=(
            *(-1.746491877e-06, 6.184432358e-06, -7.216881451e-06),
            *(8.567635428e-11, -5.085716167e-10, -6.169265269e-11, -4.175472049e-10),
            *(-1.768765383e-14, -3.779506805e-15, -3.661432593e-14, 1.217430116e-14, -9.957049066e-15),
        ),
        idc=(1.96177110e-3, 0.0498307742, 0.0502745291, 1.49055012e-3, 256.622223, 302.226410),
        opus_crpix=(2048.0, 1024.0),
    ),
    ChipOptics(
        ccdchip=1,
        crpix=(2048.0, 1024.0),
        offset=(0.106845944, 51.991673408),
        cd=((-0.04908649510, -1.69774085e-4), (4.252908126e-3, 0.04863540168)),
        a=(
            *(8.518868718e-06, -7.530289996e-06, 2.261941312e-06),
            *(-4.693635321e-10, -1.071400514e-10, -5.253920848e-10, 6.510508887e-11),
            *(1.836278740e-14, 3.800597894e-14, 9.701995259e-14, -1.426933893e-14, 1.351914506e-13),
        ),
        b=(
            *(-2.965892205e-06, 6.425699782e-06, -9.798580191e-06),
            *(9.003342263e-11, -4.403492054e-10, -3.035426845e-11, -4.142150276e-10),
            *(-1.691394240e-14, -3.836393625e-14, -1.040360818e-13, 2.759113591e-14, -1.524897603e-13),
        ),
        idc=(2.26708059e-3, 0.0492242502, 0.0485828403, 2.13203930e-3, 260.887054, 198.332230),
        opus_crpix=(2048.0, 1024.0),
    ),
)

_STARTS = (57000.3, 57061.7)


def _tables(distortion: str, columns: str, residuals: str) -> dict[str, str]:
    """Return the names of a CCD's tables, by what differs between instruments."""
    return {
        "IDCTAB": f"{distortion}_idc.fits",
        "D2IMFILE": f"{columns}_d2i.fits",
        "NPOLFILE": f"{residuals}_npl.fits",
    }


_CAMERAS = (
    HstCamera(
        name="wfc3_ir",
        instrume="WFC3",
        detector="IR",
        aperture="IR",
        letter="i",
        suffix="flt",
        shape=(1014, 1014),
        pixel=0.12825,
        direct=(_IR_DIRECT,),
        grism=(_IR_GRISM,),
        readout=Readout(True, (18.0, 13.0), 0.05, 7.8e4, 1.2e-6, 0.5, 0.26, has_blobs=True),
        v3_angle=44.578,
        grism_postarg=(8.826, 0.031),
        tables={"IDCTAB": "iref$w3m18525i_idc.fits"},
        elements=_ELEMENTS["wfc3_ir"],
        usual=UsualProgram((("F140W", ("G141",)), ("F105W", ("G102",))), (250.0, 1100.0), _STARTS),
    ),
    HstCamera(
        name="wfc3_uvis",
        instrume="WFC3",
        detector="UVIS",
        aperture="UVIS",
        letter="i",
        suffix="flc",
        shape=(2051, 4096),
        pixel=0.03962,
        direct=_UVIS,
        grism=_UVIS,
        readout=Readout(False, (3.1, 3.1), 0.004, 7.0e4, 2.0e-5, 0.6, 0.38),
        v3_angle=44.837,
        grism_postarg=(0.0, 0.0),
        tables=_tables("iref$2731450pi", "iref$y7b1516hi", "iref$y7b1516qi"),
        elements=_ELEMENTS["wfc3_uvis"],
        usual=UsualProgram((("F606W", ("G280",)), ("F814W", ("G280",))), (350.0, 900.0), _STARTS),
    ),
    HstCamera(
        name="acs_wfc",
        instrume="ACS",
        detector="WFC",
        aperture="WFC",
        letter="j",
        suffix="flc",
        shape=(2048, 4096),
        pixel=0.05,
        direct=_ACS,
        grism=_ACS,
        readout=Readout(False, (4.0, 4.0), 0.004, 8.0e4, 2.0e-5, 0.6, 0.37),
        v3_angle=177.408,
        grism_postarg=(0.0, 0.0),
        tables=_tables("jref$qbu1641sj", "jref$02c1450oj", "jref$02c14514j"),
        elements=_ELEMENTS["acs_wfc"],
        usual=UsualProgram((("F814W", ("G800L",)), ("F606W", ("G800L",))), (350.0, 900.0), _STARTS),
    ),
)

INSTRUMENTS: dict[str, HstCamera] = {camera.name: camera for camera in _CAMERAS}
