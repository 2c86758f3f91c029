from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from grism_align.io.files import claims
from grism_align.io.files.claims import claimed, names_change
from grism_align.io.files.hidden import hidden_folder
from grism_align.io.files.locks import NAME
from grism_align.values.errors import OutputError
from tests.support.processes import elsewhere, other


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(claims, "PATIENCE", 0.0)


def _claim(*paths):
    with claimed(paths):
        return


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_second_run_is_told_who_has_a_file(tmp_path):
    with other(claimed([tmp_path / "a", tmp_path / "b"])) as another:
        with pytest.raises(OutputError) as caught:
            _claim(tmp_path / "c", tmp_path / "b")
        assert caught.value.path == str(tmp_path / "b")
        assert os.uname().nodename in caught.value.problem
        # other files of the folder are free
        _claim(tmp_path / "c")
        another.leave()
        _claim(tmp_path / "b")
    assert names(tmp_path) == []


def test_a_claim_ends_with_its_run(tmp_path):
    with other(claimed([tmp_path / "a"])) as another:
        another.kill()
        assert len(names(tmp_path)) == 1
        _claim(tmp_path / "a")
    assert names(tmp_path) == []


def test_a_run_waits_for_the_other(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(claims, "PATIENCE", 60.0)
    with other(claimed([tmp_path / "a"])) as another:
        monkeypatch.setattr(claims.time, "sleep", lambda _: another.leave())
        _claim(tmp_path / "a")
    assert caplog.text.count("Waiting for") == 1


def test_what_a_run_has_claimed_is_its_own(tmp_path):
    with claimed([tmp_path / "a"]):
        _claim(tmp_path / "a", tmp_path / "b")
        with ThreadPoolExecutor(1) as thread:
            error = thread.submit(_claim, tmp_path / "a").exception()
        assert isinstance(error, OutputError)
    # and then nobody's
    assert elsewhere(lambda: _claim(tmp_path / "a")) is None
    assert names(tmp_path) == []


def test_all_folders_or_none(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    with other(claimed([folders[1] / "x"])):
        with pytest.raises(OutputError):
            _claim(*(folder / "x" for folder in folders))
        assert names(folders[0]) == names(folders[2]) == []
        # one that is claimed through a link is the same
        (tmp_path / "link").symlink_to(folders[1])
        with pytest.raises(OutputError):
            _claim(tmp_path / "link" / "x")


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    _claim(tmp_path / "new" / "a")
    with claimed([tmp_path / "used" / "a"]):
        (tmp_path / "used" / "a").write_text("")
    assert names(tmp_path) == ["used"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file, not a folder"):
        _claim(tmp_path / "file" / "a")


@pytest.mark.parametrize("text", ["", "{}", "[1, null]", "[" * 100_000, '{"a": 1}'])
def test_claims_that_can_not_be_read_claim_nothing(tmp_path, text):
    with hidden_folder(tmp_path) as folder:
        (folder / "names.json").write_text(text)
        with claimed([tmp_path / "a"]):
            assert ["a"] in [_names_in(one) for one in tmp_path.iterdir()]


def _names_in(folder):
    """The names that a hidden folder claims; None where its claim can't be read."""
    try:
        return json.loads((folder / "names.json").read_text())
    except (OSError, ValueError, RecursionError):
        return None


def test_a_claim_can_be_read_by_others_who_may_read_the_folder(tmp_path):
    tmp_path.chmod(0o750)
    with claimed([tmp_path / "a"]):
        [hidden] = tmp_path.iterdir()
        assert hidden.stat().st_mode & 0o777 == 0o750
        assert json.loads((hidden / "names.json").read_text()) == ["a"]


def test_names_are_changed_by_one_run_at_a_time(tmp_path):
    with other(names_change([tmp_path, tmp_path / "none"])):
        with pytest.raises(OutputError, match="changing names"), names_change([tmp_path]):
            pass
        with pytest.raises(OutputError, match="changing names"):
            _claim(tmp_path / "a")
    (tmp_path / NAME).unlink()
    assert names(tmp_path) == []


def test_a_folder_that_can_not_be_written_to_is_told_before_any_work(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(claims.HiddenFolder.__init__.__globals__["tempfile"], "mkdtemp", refuse)
    with pytest.raises(OutputError, match="Permission denied") as caught:
        _claim(tmp_path / "a")
    assert caught.value.path == str(tmp_path)
