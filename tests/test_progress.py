import pytest

from hsipipe.progress import progress


@pytest.mark.parametrize(("disable", "told"), [(False, True), (None, False), (True, False)])
def test_a_log_file_gets_a_line_unless_told_otherwise(capsys, disable, told):
    assert list(progress([1, 2], "units", disable=disable)) == [1, 2]
    assert ("units" in capsys.readouterr().err) == told
