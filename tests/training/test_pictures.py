import matplotlib.image
import numpy as np
import pytest

from hsipipe.training.pictures import draw_samples

WAVELENGTHS = np.linspace(420, 2450, 30)


def samples(rng, shape=(30, 20, 24)):
    clean = rng.random(shape, dtype=np.float32)
    return {"noisy": clean + 0.3, "denoised": clean, "clean": clean}


def test_a_row_of_pictures(tmp_path):
    images = samples(np.random.default_rng(0))
    draw_samples(images, WAVELENGTHS, tmp_path / "new" / "one.png", title="epoch 3")
    draw_samples(images, WAVELENGTHS, tmp_path / "two.png", title="epoch 3")
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "new" / "one.png").read_bytes()
    assert [path.name for path in tmp_path.glob("*.png")] == ["two.png"]
    drawn = matplotlib.image.imread(tmp_path / "two.png")
    assert drawn.shape[1] == 720
    assert drawn.std() > 0.1


def test_all_share_the_contrast_of_the_clean_image(tmp_path):
    """A brighter image looks brighter: drawn in its own contrast it would look the same."""
    images = samples(np.random.default_rng(0))
    draw_samples(images, WAVELENGTHS, tmp_path / "p.png")
    drawn = matplotlib.image.imread(tmp_path / "p.png")[..., :3]
    middle = drawn[drawn.shape[0] // 2 + 10]
    noisy, denoised, clean = (part.mean() for part in np.array_split(middle, 3))
    assert denoised == pytest.approx(clean, abs=0.02)
    assert noisy > clean + 0.1


@pytest.mark.parametrize(("bands", "wavelength_nm"), [(1, None), (2, None), (30, WAVELENGTHS + 1000)])
def test_any_bands(tmp_path, bands, wavelength_nm):
    image = np.random.default_rng(1).random((bands, 9, 7), dtype=np.float32)
    image[0, 0, 0] = np.nan
    draw_samples({"masked": image, "reconstructed": image + 1}, wavelength_nm, tmp_path / "p.png")
    assert matplotlib.image.imread(tmp_path / "p.png").std() > 0.05


def test_images_of_other_bands_are_refused(tmp_path):
    with pytest.raises(ValueError, match="bands"):
        draw_samples({"a": np.zeros((3, 4, 4)), "b": np.zeros((4, 4, 4))}, None, tmp_path / "p.png")
    assert not list(tmp_path.iterdir())
