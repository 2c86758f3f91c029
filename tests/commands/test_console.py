"""What is shown on a terminal, and what is kept in the log file."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from grism_align.commands.console import LogFile, Loudness, told_on_terminal
from grism_align.values.errors import OutputError
from grism_align.values.words import FOR_FILE
from grism_align.workflows.progress import track

OURS = logging.getLogger("grism_align.somewhere")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _said():
    for name in track(["a", "b", "c"], "Measuring"):
        OURS.info("measured %s", name)
    OURS.info("for the file", extra=FOR_FILE)
    OURS.warning("mind the gap")
    logging.getLogger("other").warning("of others")


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_each_message_is_shown_once(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    with told_on_terminal(Loudness(logging.INFO)):
        _said()
    shown = sys.stderr.getvalue()
    for name in "abc":
        assert shown.count(f"measured {name}") == 1
    assert shown.count("warning: mind the gap") == 1
    assert "for the file" not in shown
    assert "of others" not in shown


def test_progress_without_a_bar_is_a_line_for_each_kind_of_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with told_on_terminal(Loudness(logging.INFO)):
        for label in ("Measuring", "Writing"):
            list(track(["a", "b", "c"], label))
    assert sys.stderr.getvalue().splitlines() == ["Measuring a (1 of 3)", "Writing a (1 of 3)"]


@pytest.mark.parametrize(
    ("loudness", "n"), [(Loudness(logging.WARNING), 1), (Loudness(logging.INFO, True), 9)]
)
def test_quiet_and_verbose(monkeypatch, loudness, n):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with told_on_terminal(loudness):
        _said()
    assert len(sys.stderr.getvalue().splitlines()) == n


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_the_file_has_everything(tmp_path, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    log = LogFile()
    with log.listening(["align", "x y.fits"]):
        OURS.debug("before there is a folder")
        log.open(tmp_path / "x_align.log")
        _said()
        logging.getLogger("stpipe.step").info("of stpipe")
    text = (tmp_path / "x_align.log").read_text()
    for said in (
        "grism-align align 'x y.fits'",
        "before there is a folder",
        "Measuring b (2 of 3)",
        "for the file",
        "mind the gap",
        "of others",
        "of stpipe",
    ):
        assert text.count(said) == 1


def test_an_error_is_in_the_file(tmp_path):
    log = LogFile()

    def fail():
        with log.listening(["align"]):
            log.open(tmp_path / "x.log")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "Traceback" in (tmp_path / "x.log").read_text()


def test_nothing_is_written_where_nothing_is_opened(tmp_path):
    with LogFile().listening(["align"]):
        OURS.info("said")
    assert not list(tmp_path.iterdir())


def test_a_file_that_can_not_be_written(tmp_path):
    (tmp_path / "x.log").mkdir()
    log = LogFile()
    with pytest.raises(OutputError, match=r"x\.log"), log.listening(["align"]):
        log.open(tmp_path / "x.log")


def _logged(path):
    log = LogFile()
    with log.listening(["align"]):
        log.open(path)
        OURS.info("said of them")


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_what_has_the_name_of_the_file_is_replaced_and_not_written_to(tmp_path, link):
    (tmp_path / "precious").write_text("of another")
    link(tmp_path / "x.log", tmp_path / "precious")
    _logged(tmp_path / "x.log")
    assert (tmp_path / "precious").read_text() == "of another"
    assert "said of" in (tmp_path / "x.log").read_text()


def test_what_is_no_text_is_told_all_the_same(tmp_path, monkeypatch):
    # not to those of pytest, whose workers can send no such thing
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log = LogFile()
    with log.listening(["align"]):
        log.open(tmp_path / "x.log")
        OURS.info("said of \udcff")
    assert "said of" in (tmp_path / "x.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
def test_a_full_disk_costs_the_log_and_no_results(tmp_path, monkeypatch, capsys):
    with Path("/dev/full").open("w", errors="replace") as full:
        monkeypatch.setattr(logging.FileHandler, "_open", lambda _: full)
        _logged(tmp_path / "x.log")
    [line] = capsys.readouterr().err.splitlines()
    assert "x.log" in line
    assert "Traceback" not in line
