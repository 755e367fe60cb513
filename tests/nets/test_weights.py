import numpy as np
import pytest
import torch

from hsipipe.errors import UserError
from hsipipe.nets.band_matrix import band_matrix
from hsipipe.nets.mae import MaskedAutoencoder
from hsipipe.nets.vit import build_encoder
from hsipipe.nets.weights import adapt_weights, read_weights
from hsipipe.training.model_file import save_model

KERNEL = "vit.patch_embed.proj.weight"


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def encoder(**settings):
    return build_encoder(**{"bands": 5, "image_size": 16, "preset": "tiny", **settings})


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("prefix", ["", "vit.", "encoder.vit.", "module.model.", "model.encoder."])
def test_names_of_other_programs(prefix):
    source = encoder()
    state = {f"{prefix}{name.removeprefix('vit.')}": value for name, value in source.state_dict().items()}
    adapted, report = adapt_weights(state, encoder())
    assert same(adapted, source.state_dict())
    assert sorted(report.matched) == sorted(adapted)
    assert [report.missing, report.unexpected, report.mismatched, report.notes] == [[], [], [], []]
    assert str(report) == "54 of 54 tensors taken"


def test_report():
    state = {name.removeprefix("vit."): value for name, value in encoder().state_dict().items()}
    del state["norm.bias"]
    state |= {"head.weight": torch.ones(3, 96), "blocks.1.mlp.fc1.weight": torch.ones(192, 96)}
    target = encoder()
    adapted, report = adapt_weights(state, target)
    assert report.missing == ["vit.norm.bias"]
    assert report.unexpected == ["head.weight"]
    assert report.mismatched == [("vit.blocks.1.mlp.fc1.weight", (192, 96), (384, 96))]
    assert len(report.matched) == len(adapted) == 52
    for words in ("52 of 54", "missing: vit.norm.bias", "[192, 96] for [384, 96]", "not used: head.weight"):
        assert words in str(report)
    target.load_state_dict(adapted, strict=False)


def test_encoder_of_a_masked_autoencoder():
    source = MaskedAutoencoder(encoder=encoder(), decoder_width=32, decoder_depth=1, decoder_heads=4)
    adapted, report = adapt_weights(source.state_dict(), encoder())
    assert same(adapted, source.encoder.state_dict())
    assert report.unexpected
    assert all(name.startswith("decoder.") for name in report.unexpected)


def test_positions_of_another_grid():
    source, target = encoder(image_size=16), encoder(image_size=32)
    adapted, report = adapt_weights(source.state_dict(), target)
    target.load_state_dict(adapted)
    assert adapted["vit.pos_embed"].shape == (1, 65, 96)
    assert torch.equal(adapted["vit.pos_embed"][:, 0], source.positions[:, 0])
    assert report.notes == ["positions interpolated from 4 x 4 to 8 x 8 tokens"]
    # the encoder interpolates its own positions in the same way
    images = torch.rand(1, 5, 32, 32)
    torch.testing.assert_close(target(images), source(images))


def test_no_square_of_positions_is_a_mismatch():
    state = encoder().state_dict() | {"vit.pos_embed": torch.ones(1, 13, 96)}
    _, report = adapt_weights(state, encoder())
    assert report.mismatched == [("vit.pos_embed", (1, 13, 96), (1, 17, 96))]


@pytest.mark.parametrize(("width", "depth"), [("small", 12), ("base", 12)])
def test_another_architecture(width, depth):
    with torch.device("meta"):
        state = encoder(preset=width).state_dict()
    size = {"small": 384, "base": 768}[width]
    message = f"preset: .* width {size} with {depth} blocks .found an encoder of width 96 with 4 blocks"
    with pytest.raises(UserError, match=message):
        adapt_weights(state, encoder())


def test_another_depth_alone():
    state = {name: value for name, value in encoder().state_dict().items() if ".blocks.3." not in name}
    with pytest.raises(UserError, match="width 96 with 3 blocks"):
        adapt_weights(state, encoder())


def test_no_transformer_or_two():
    with pytest.raises(UserError, match=r"not of a vision transformer \(found conv1.weight"):
        adapt_weights({"conv1.weight": torch.ones(3, 3)}, encoder())
    state = encoder().state_dict()
    with pytest.raises(UserError, match="hold it twice"):
        adapt_weights(state | {f"module.{name}": value for name, value in state.items()}, encoder())


def test_same_wavelengths_change_nothing():
    source = encoder()
    nm = np.linspace(420, 2450, 5)
    adapted, report = adapt_weights(source.state_dict(), encoder(), source_nm=nm, target_nm=nm)
    assert same(adapted, source.state_dict())
    assert not report.notes


@pytest.mark.parametrize("bands", [3, 5, 11, 40])
@pytest.mark.parametrize("known", [True, False])
def test_a_constant_spectrum_keeps_its_response(bands, known):
    source, target = encoder(), encoder(bands=bands)
    source_nm = np.array([450.0, 550, 670, 865, 2200])
    target_nm = np.random.default_rng(0).permutation(np.linspace(430, 2300, bands))
    nm = {"source_nm": source_nm, "target_nm": target_nm} if known else {}
    adapted, report = adapt_weights(source.state_dict(), target, **nm)
    target.load_state_dict(adapted)
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(
        target(image.expand(1, bands, 16, 16)), source(image.expand(1, 5, 16, 16)), atol=1e-4, rtol=1e-4
    )
    if known:
        assert len(report.notes) == 1
        assert "over wavelength" in report.notes[0]
    else:
        assert report.notes == (
            []
            if bands == 5
            else [f"patch embedding of 5 bands averaged and repeated for {bands}, because wavelengths are not known"]
        )


def test_smooth_spectra_keep_their_response_on_a_finer_sensor():
    """A linear spectrum seen by twice as many bands gives nearly the token that the first sensor gave."""
    source_nm, target_nm = np.linspace(400, 1000, 21), np.linspace(400, 1000, 41)
    source, target = encoder(bands=21), encoder(bands=41)
    adapted, _ = adapt_weights(source.state_dict(), target, source_nm=source_nm, target_nm=target_nm)
    target.load_state_dict(adapted)

    def tokens(network, nm):
        spectrum = torch.tensor((nm - 400) / 600, dtype=torch.float32)
        return network.vit.patch_embed.proj(spectrum[None, :, None, None].expand(1, -1, 16, 16))

    wanted = tokens(source, source_nm)
    assert (tokens(target, target_nm) - wanted).abs().max() < 0.03 * wanted.abs().max()


def test_band_matrix_by_hand():
    # A target band between two source bands takes half of each; shares of a source band then sum to 1.
    matrix = band_matrix(np.array([400.0, 500, 600]), np.array([400.0, 450, 500, 550, 600]))
    np.testing.assert_allclose(
        matrix, [[2 / 3, 1 / 3, 0, 0, 0], [0, 1 / 4, 1 / 2, 1 / 4, 0], [0, 0, 0, 1 / 3, 2 / 3]], atol=1e-12
    )
    # A finer source: bands without a target of their own go to the two around, by distance.
    fine = band_matrix(np.array([400.0, 410, 425, 490, 500]), np.array([400.0, 500]))
    np.testing.assert_allclose(fine, [[1, 0], [0.9, 0.1], [0.75, 0.25], [0.1, 0.9], [0, 1]], atol=1e-12)
    # Outside: source bands beyond the target's range speak for all; target bands beyond the source's get nothing.
    far = band_matrix(np.array([400.0, 500, 2000]), np.array([400.0, 450, 500]))
    np.testing.assert_allclose(far[2], [1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(band_matrix(np.array([400.0, 500]), np.array([400.0, 500, 900]))[:, 2], [0, 0])
    assert np.array_equal(band_matrix(np.array([500.0]), np.array([500.0])), [[1]])


def test_band_matrix_follows_the_order_of_the_bands():
    source, target = np.linspace(400, 900, 7), np.linspace(420, 880, 9)
    first, second = np.random.default_rng(0).permutation(7), np.random.default_rng(1).permutation(9)
    np.testing.assert_allclose(
        band_matrix(source[first], target[second]), band_matrix(source, target)[first][:, second], atol=1e-12
    )


def test_a_larger_token_gives_the_same_tokens_of_an_enlarged_image():
    """The defining property of the pseudo-inverse resize: an image enlarged with the token keeps its tokens."""
    source, target = encoder(patch=4, image_size=16), encoder(patch=8, image_size=32)
    adapted, report = adapt_weights(source.state_dict(), target)
    assert any("from 4 to 8 pixels" in note for note in report.notes)
    target.load_state_dict(adapted)
    patch = torch.rand(1, 5, 4, 4)
    enlarged = torch.nn.functional.interpolate(patch, size=(8, 8), mode="bilinear", align_corners=False)
    expected, found = (n.vit.patch_embed.proj(p) for n, p in ((source, patch), (target, enlarged)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}])
@pytest.mark.parametrize("legacy", [False, True])
def test_plain_files(tmp_path, wrap, legacy):
    state = encoder().state_dict()
    torch.save(wrap(state), tmp_path / "weights.pth", _use_new_zipfile_serialization=not legacy)
    read = read_weights(tmp_path / "weights.pth")
    assert same(read["state"], state)
    assert read["wavelength_nm"] is None


def test_own_model_file(tmp_path):
    state, nm = encoder().state_dict(), np.linspace(400, 900, 5)
    save_model(
        tmp_path / "model.pt", model_state=state, architecture="mae", settings={}, normaliser=None,
        wavelength_nm=nm, key="k",
    )  # fmt: skip
    read = read_weights(tmp_path / "model.pt")
    assert same(read["state"], state)
    np.testing.assert_array_equal(read["wavelength_nm"], nm)


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = encoder().state_dict()
    safetensors.save_file(state, tmp_path / "weights.safetensors")
    assert same(read_weights(tmp_path / "weights.safetensors")["state"], state)
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"broken.safetensors: is not a safetensors file"):
        read_weights(tmp_path / "broken.safetensors")


class Harmful:
    executed = False

    def __reduce__(self):
        return (setattr, (Harmful, "executed", True))


def test_objects_are_never_unpickled(tmp_path):
    torch.save({"model": encoder().state_dict(), "args": Harmful()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights.pth: holds Python objects"):
        read_weights(tmp_path / "weights.pth")
    assert not Harmful.executed


@pytest.mark.parametrize("content", [b"", b"ENVI\nsamples = 3", b"PK\x03\x04 cut off", bytes(range(256)) * 9])
def test_files_of_another_type(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"weights.pth: (is not a file of weights|holds)"):
        read_weights(tmp_path / "weights.pth")


def test_files_without_tensors(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_weights(tmp_path / "none.pth")
    for content in ([1, 2], {"epoch": 3}, torch.ones(3), {}):
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(UserError, match="holds no tensors by name"):
            read_weights(tmp_path / "weights.pth")
