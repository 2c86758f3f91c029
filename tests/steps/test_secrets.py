"""An address with a login is refused before anyone is told of it."""

from __future__ import annotations

import pytest

from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import SettingsError

SECRET = "pa55word"


@pytest.mark.parametrize("skip", [False, True])
def test_a_login_is_in_no_log_and_no_file(field_a, tmp_path, caplog, skip):
    caplog.set_level("DEBUG")
    steps = {"absolute_align": {"service_url": f"https://joe:{SECRET}@example.org/tap", "skip": skip}}
    with pytest.raises(SettingsError) as caught:
        GrismAlignPipeline.call(str(field_a.association), output_dir=str(tmp_path / "out"), steps=steps)
    assert SECRET not in str(caught.value) + caplog.text
    assert not (tmp_path / "out").exists()
