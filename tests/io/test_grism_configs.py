import numpy as np
import pytest

from grism_align.io.grism_configs import model_for, read_trace_configs
from grism_align.values.errors import InputError

AXE = """# a made-up grism
GFILTER G141 ; the grism
BEAMA 10 110
DYDX_ORDER_A 2
DYDX_A_0 1.5 2e-3 -1e-3   # with comments
DYDX_A_1 0.01 0 0 1e-8 2e-8 3e-8
DYDX_A_2 1e-5
XOFF_A 2.0 1e-3
YOFF_A -0.5
BEAMB -200 -190
DYDX_B_0 9
"""

GRISMCONF = """WEDGE_F140W 0.1 0.2
BEAM_+1
DISPX_+1_0 20 1e-3 0
DISPX_+1_1 -200
DISPY_+1_0 1 0 2e-3
DISPY_+1_1 3
DISPY_+1_2 0.5
"""


def read_one(path):
    [model] = read_trace_configs([str(path)]).values()
    return model


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_an_axe_configuration_gives_the_trace_of_its_first_order(tmp_path):
    model = read_one(write(tmp_path, "grism.conf", AXE))
    dx, dy = model.offsets([[100.0, 200.0], [0.0, 0.0]])
    t = dx[0] - (2.0 + 0.1)
    slope = 0.01 + 1e-8 * 1e4 + 2e-8 * 2e4 + 3e-8 * 4e4
    expected = -0.5 + 1.5 + 0.2 - 0.2 + slope * t + 1e-5 * t**2
    assert dx[0, [0, -1]] == pytest.approx([10, 110])
    assert dy[0] == pytest.approx(expected, abs=1e-12)
    assert dy[1] == pytest.approx(1.0 + 0.01 * (dx[1] - 2) + 1e-5 * (dx[1] - 2) ** 2, abs=1e-12)


def test_a_grismconf_configuration_gives_the_trace_in_the_order_of_x_less_the_wedge(tmp_path):
    model = read_one(write(tmp_path, "grism.conf", GRISMCONF))
    dx, dy = model.offsets([[1000.0, 500.0]], "F140W")
    t = (21.0 - (dx[0] + 0.1)) / 200
    assert (np.diff(dx[0]) > 0).all()
    assert dx[0, [0, -1]] == pytest.approx([-179.1, 20.9])
    assert dy[0] == pytest.approx(1 + 1.0 + 3 * t + 0.5 * t**2 - 0.2, abs=1e-9)
    unshifted = model.offsets([[1000.0, 500.0]], "F160W")
    assert unshifted[0] == pytest.approx(dx + 0.1)
    assert unshifted[1] == pytest.approx(dy + 0.2)


def test_several_configurations_are_told_apart_by_what_they_say(tmp_path):
    first = write(tmp_path, "first.conf", AXE)
    chips = [write(tmp_path, f"ACS.WFC.CHIP{n}.conf", f"BEAMA 0 9\nDYDX_A_0 {n}\n") for n in (1, 2)]
    models = read_trace_configs((str(first), f"G800L={chips[0]}", f"G800L={chips[1]}", f"G102:1={first}"))
    assert sorted(models) == [("G102", 1), ("G141", 0), ("G800L", 1), ("G800L", 2)]
    assert model_for(models, "G800L", 1).dy[0, 0] == 1
    assert model_for(models, "G800L", 2).dy[0, 0] == 2
    assert model_for(models, "G141", 1).name == "first.conf"
    assert model_for(models, "G102", 2) is None


def test_the_chip_is_taken_from_ccdchip_and_an_unnamed_grism_fits_all(tmp_path):
    text = "OPTKEY1 CCDCHIP\nOPTVAL1 1\nBEAMA 0 9\nDYDX_A_0 0\n"
    models = read_trace_configs([str(write(tmp_path, "any.conf", text))])
    assert list(models) == [("", 1)]
    assert model_for(models, "G280", 1) is not None
    assert read_trace_configs(()) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no first order"),
        ("BEAMA 1 2\n", "DYDX_A_0"),
        ("BEAMA 1\nDYDX_A_0 0\n", "BEAMA"),
        ("BEAMA 1 x\nDYDX_A_0 0\n", "BEAMA is not followed by numbers"),
        ("BEAMA 1 2\nDYDX_A_0\n", "DYDX_A_0 is not followed by numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path, text, problem):
    with pytest.raises(InputError, match=problem):
        read_one(write(tmp_path, "bad.conf", text))


def test_the_grism_is_taken_from_the_filter_that_the_file_is_for(tmp_path):
    text = "OPTKEY1 FILTER\nOPTVAL1 G102\nBEAMA 0 9\nDYDX_A_0 0\n"
    models = read_trace_configs([str(write(tmp_path, "any.conf", text))])
    assert list(models) == [("G102", 0)]
    assert model_for(models, "G141", 1) is None


def test_two_configurations_of_one_grism_and_chip_are_refused(tmp_path):
    one, two = (str(write(tmp_path, f"{name}.conf", AXE)) for name in ("one", "two"))
    with pytest.raises(InputError, match=r"two\.conf.*second configuration for G141, besides one\.conf"):
        read_trace_configs([one, two])
    with pytest.raises(InputError, match="second configuration for G800L chip 2"):
        read_trace_configs([f"G800L:2={one}", f"G800L:2={two}"])
    assert len(read_trace_configs([f"G141:1={one}", f"G141:2={two}"])) == 2


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.conf"):
        read_trace_configs([f"G141={tmp_path / 'none.conf'}"])
