import numpy as np

from hsipipe.tasks.fusion.shared.nonnegative import Factors, misfit, update_abundances, update_spectra


def problem():
    generator = np.random.default_rng(1)
    spectra, abundances = generator.random((12, 3)), generator.dirichlet(np.ones(3), 80).T
    bands = (spectra @ abundances).astype(np.float32)
    start = Factors(generator.random((12, 3)).astype(np.float32), np.full((3, 80), 1 / 3, dtype=np.float32))
    return spectra.astype(np.float32), abundances.astype(np.float32), bands, start


def test_each_step_lowers_the_misfit_and_keeps_the_sign():
    _, _, bands, factors = problem()
    last = misfit(factors, bands)
    for _ in range(30):
        update_spectra(factors, bands)
        now = misfit(factors, bands)
        assert now <= last * (1 + 1e-5)
        update_abundances(factors, bands, 1.0, 0.0)
        last = misfit(factors, bands)
        assert last <= now * (1 + 1e-5)
    assert last < 0.01
    assert factors.spectra.min() >= 0
    assert factors.abundances.min() >= 0


def test_with_the_true_spectra_the_true_abundances_come_out():
    spectra, abundances, bands, factors = problem()
    factors.spectra = spectra
    for _ in range(3000):
        update_abundances(factors, bands, 1.0, 0.5)
    np.testing.assert_allclose(factors.abundances, abundances, atol=0.02)


def test_both_forms_of_the_product_agree():
    # Few bands and many endmembers, or the reverse, are multiplied in another order.
    generator = np.random.default_rng(2)
    for bands_count, count in ((2, 9), (9, 2)):
        bands = generator.random((bands_count, 7)).astype(np.float32)
        factors = Factors(
            generator.random((bands_count, count)).astype(np.float32), generator.random((count, 7)).astype(np.float32)
        )
        spectra = np.vstack([factors.spectra, np.full(count, 0.3)])
        wanted = np.vstack([bands, np.full(7, 0.3 * 0.8)])
        expected = factors.abundances * (spectra.T @ wanted) / (spectra.T @ spectra @ factors.abundances)
        update_abundances(factors, bands, 0.8, 0.3)
        np.testing.assert_allclose(factors.abundances, expected, rtol=1e-4)


def test_the_sum_is_pulled_to_its_total():
    _, _, bands, factors = problem()
    for _ in range(200):
        update_abundances(factors, bands, 0.6, 100.0)
    np.testing.assert_allclose(factors.abundances.sum(0), 0.6, atol=1e-3)
