from hsipipe.scenes.own_files import own_files


def test_header_and_data_labels_and_folders(tmp_path):
    for name in ("a.hdr", "a.bil", "b.raw", "b.raw.hdr", "other.bil", "gt.mat", "tiles/1.tif", "tiles/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    def names(*files, labels=None):
        found = own_files([str(tmp_path / file) for file in files], labels and str(tmp_path / labels))
        return [path.removeprefix(f"{tmp_path}/") for path in found]

    assert names("a.hdr") == names("a.bil") == ["a.bil", "a.hdr"]
    assert names("b.raw") == ["b.raw", "b.raw.hdr"]
    assert names("a.bil", labels="gt.mat:gt") == ["a.bil", "a.hdr", "gt.mat"]
    assert names("tiles") == ["tiles/1.tif"]
    assert names("missing.tif") == ["missing.tif"]
