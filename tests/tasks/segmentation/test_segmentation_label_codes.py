import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.tasks.segmentation.shared.label_codes import LabelCodes

SALINAS_A = np.array([[1, 10, 11], [12, 13, 14], [0, -5, 1]])


def test_gaps_are_closed_and_opened_again():
    codes = LabelCodes.of([SALINAS_A])
    assert codes.codes == (1, 10, 11, 12, 13, 14)
    assert len(codes) == 6
    classes = codes.encode(SALINAS_A)
    assert classes.tolist() == [[0, 1, 2], [3, 4, 5], [-1, -1, 0]]
    assert codes.decode(classes).tolist() == np.maximum(SALINAS_A, 0).tolist()
    assert codes.decode(np.array([-1, 0]), background=-9).tolist() == [-9, 1]


def test_codes_of_several_maps():
    assert LabelCodes.of([np.array([[3, 0]]), np.array([[2, 3]], np.uint8)]).codes == (2, 3)


def test_unknown_codes_are_named():
    with pytest.raises(UserError, match="classes 2, 20 not known"):
        LabelCodes((1, 10)).encode(np.array([[1, 2, 20, 0]]))


def test_unsigned_labels():
    assert LabelCodes((1, 255)).encode(np.array([0, 1, 255], np.uint8)).tolist() == [-1, 0, 1]


def test_errors():
    with pytest.raises(UserError, match="no class"):
        LabelCodes.of([np.zeros((2, 2), int)])
    with pytest.raises(UserError, match="rise"):
        LabelCodes((3, 2))
    with pytest.raises(UserError, match="there are 1 classes"):
        LabelCodes((4,)).decode(np.array([1]))
