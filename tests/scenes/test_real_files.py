"""The real files: every quirk that is known of them."""

import numpy as np
import pytest

from hsipipe.errors import UserError
from hsipipe.scenes.readers import open_image, read_folder, read_image, read_labels


def test_enmap_dead_bands_zero_pixels_and_order(real_data):
    items = list(read_folder(real_data / "enmap_potsdam"))
    assert len(items) == 14
    counts = np.zeros(7, int)
    for item in items:
        assert item.cube.shape == (224, 32, 32)
        assert np.flatnonzero(~item.good_bands).tolist() == list(range(129, 135))
        assert item.wavelength_nm[91] == 902.257 < item.wavelength_nm[90]
        assert (item.source["nodata"], item.source["scale"]) == (-32768, 1e-4)
        counts += np.bincount(item.labels.ravel(), minlength=7)
    assert sum(int((~item.valid).sum()) for item in items) == 3
    assert min(item.cube[item.good_bands].min() for item in items) == -496
    assert counts.tolist() == [9706, 338, 713, 1618, 1517, 85, 359]


@pytest.mark.parametrize("name", ["corn-kernel-hyperspectral.hdr", "corn-kernel-hyperspectral.raw"])
def test_a_header_without_byte_order(real_data, name):
    item = read_image(real_data / "envi_bil_corn_kernel" / name)
    assert item.cube.shape == (580, 31, 43)
    assert (item.cube.min(), item.cube.max()) == (0, 2887)
    np.testing.assert_allclose(item.wavelength_nm[[0, -1]], [366.551, 1048.421])


@pytest.mark.parametrize("name", ["darkReference", "darkReference.hdr"])
def test_data_without_extension_and_a_header_with_comments(real_data, name):
    item = read_image(real_data / "envi_bil_dark_reference" / name)
    assert (item.cube.shape, item.name) == ((978, 1, 1600), "darkReference")
    assert (item.cube.min(), item.cube.max()) == (2, 47)
    np.testing.assert_allclose(item.wavelength_nm[[0, -1]], [379.027, 1000.95])


def test_unfolded_cubes_are_column_major(real_data):
    from scipy.io import loadmat

    samson = read_image(real_data / "samson" / "samson_1.mat").cube
    spectra = loadmat(real_data / "samson" / "E.mat")["E"]
    shares = loadmat(real_data / "samson" / "A_true.mat")["A_true"]
    mixed = np.einsum("be,rce->brc", spectra, shares)
    assert np.linalg.norm(mixed - samson) / np.linalg.norm(samson) == pytest.approx(0.096, abs=0.001)
    moffett = read_image(real_data / "moffett" / "moffett.mat").cube
    content = loadmat(real_data / "moffett" / "moffett.mat")
    mixed = np.einsum("eb,rce->brc", content["GT"], content["S_GT"])
    assert np.linalg.norm(mixed - moffett) / np.linalg.norm(moffett) == pytest.approx(0.056, abs=0.001)


def test_transposed_v73_labels(real_data):
    folder = real_data / "pavia_university"
    labels = read_labels(folder / "v73" / "PaviaU_gt.mat")
    assert labels.shape == (610, 340)
    assert np.bincount(labels.ravel()).tolist() == [164624, 6631, 18649, 2099, 3064, 1345, 5029, 1330, 3682, 947]
    np.testing.assert_array_equal(labels, read_labels(folder / "PaviaU_gt.mat"))
    np.testing.assert_array_equal(labels, read_labels(f"{folder / 'v73' / 'PaviaU_gt.mat'}:gt", (610, 340)))


def test_labels_of_indian_pines(real_data):
    folder = real_data / "indian_pines"
    whole = read_labels(folder / "Indian_pines_gt.mat")
    item = read_image(folder / "Indian_subset.mat", labels="gt")
    np.testing.assert_array_equal(item.labels, whole[30:100, 25:95])
    gis = read_labels(folder / "92AV3GT.GIS")
    assert gis.shape == (145, 145)
    assert set(np.unique(gis)) == set(range(17))


def test_palette_labels(real_data):
    labels = read_labels(real_data / "whu_hi_longkou" / "WHU-Hi-LongKou_gt.tif")
    assert labels.shape == (550, 400)
    assert set(np.unique(labels)) == set(range(10))


def test_several_cubes_in_one_file(real_data):
    path = real_data / "houston_2018" / "houston_dataset.mat"
    with pytest.raises(UserError, match="hyprImg 128x128x48, rgbImg 512x512x3"):
        open_image(path)
    assert open_image(path, key="hyprImg").shape == (48, 128, 128)
    assert open_image(path, key="rgbImg").labels == ["clasLabs"]
    path = real_data / "pavia_university" / "reg_pavia_dataset.mat"
    np.testing.assert_allclose(open_image(path, key="I1").wavelength_nm[[0, -1]], [430, 860])


@pytest.mark.parametrize(
    ("name", "bands"), [("airport-1", 205), ("airport-2", 205), ("beach-1", 188), ("urban-1", 204), ("urban-4", 205)]
)
def test_abu(real_data, name, bands):
    path = real_data / "abu" / f"abu-{name}.mat"
    image = open_image(path)
    assert (image.shape[0], image.key, image.labels) == (bands, "data", ["map"])
    item = image.read()
    assert item.cube.dtype.kind in "iu"
    assert item.valid.all()
    assert set(np.unique(read_labels(f"{path}:map"))) == {0, 1}


def test_a_constant_band_is_bad(real_data):
    item = read_image(real_data / "aviris_santa_barbara" / "a_hsi_img_for_VI_demo.mat")
    constant = item.cube.reshape(224, -1).std(axis=1) == 0
    np.testing.assert_array_equal(~item.good_bands, constant)
    np.testing.assert_allclose(item.wavelength_nm[[0, -1]], [365.91, 2496.22], atol=0.01)


def test_matrices_are_refused(real_data):
    for name in ("samson/E.mat", "spectral_response/NikonD700.npy", "spectral_response/ikonos_spec_resp.mat"):
        with pytest.raises(UserError, match="2 axes"):
            open_image(real_data / name)
