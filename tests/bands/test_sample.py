import numpy as np

from hsipipe.bands.sample import sample_spectra
from hsipipe.randomness import generator_for

CUBE = np.arange(3 * 8 * 9, dtype=np.int16).reshape(3, 8, 9)


def test_all_valid_spectra_if_there_are_no_more():
    valid = np.ones((8, 9), bool)
    valid[2, 3:] = False
    spectra = sample_spectra(CUBE, valid, 100, "spectra", 0, "x")
    assert spectra.dtype == np.float32
    np.testing.assert_array_equal(spectra, CUBE[:, valid].T)


def test_a_sample_is_of_valid_pixels_without_repetition_and_repeats_by_its_seed():
    valid = np.ones((8, 9), bool)
    valid[0] = False
    spectra = sample_spectra(CUBE, valid, 20, "spectra", 0, "x")
    drawn = np.sort(generator_for("spectra", 0, "x").permutation(63)[:20])
    np.testing.assert_array_equal(spectra, CUBE[:, valid].T[drawn])
    assert len(np.unique(spectra[:, 0])) == 20
    assert spectra[:, 0].min() >= 9
    np.testing.assert_array_equal(spectra, sample_spectra(CUBE, valid, 20, "spectra", 0, "x"))
    assert not np.array_equal(spectra, sample_spectra(CUBE, valid, 20, "spectra", 0, "y"))
