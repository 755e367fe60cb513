import sys

import pytest

from hsipipe.progress import progress, show_progress


@pytest.mark.parametrize(("when", "told"), [("always", True), ("terminal", False), ("never", False)])
def test_a_log_file_gets_a_line_unless_told_otherwise(capsys, when, told):
    with show_progress(when):
        assert list(progress([1, 2], "units")) == [1, 2]
    assert ("units" in capsys.readouterr().err) == told
    assert list(progress([1, 2], "units", disable=True)) == [1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("when", "told"), [("always", True), ("terminal", True), ("never", False)])
def test_a_terminal_gets_a_bar_unless_quiet(capsys, monkeypatch, when, told):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with show_progress(when):
        assert list(progress(range(3), "units", unit="tile")) == [0, 1, 2]
    error = capsys.readouterr().err
    assert ("units: 100%" in error) == told
    assert ("3/3" in error) == told
