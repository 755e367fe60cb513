import hashlib

import pytest

from hsipipe.files import atomic_path, scratch_file, sha256_of, write_json, write_text


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_temporary_name_keeps_the_extension(tmp_path):
    with atomic_path(tmp_path / "cube.tif") as temporary:
        assert temporary.suffix == ".tif"
        temporary.touch()
    assert (tmp_path / "cube.tif").exists()


def test_sha256(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_json_is_sorted(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    assert (tmp_path / "a.json").read_text() == '{\n "a": 2,\n "b": 1\n}\n'


def test_a_scratch_file_is_gone_at_the_end_and_with_it_what_a_killed_process_left(tmp_path):
    for left in ("prediction.h5", ".prediction.0a1b2c3d.h5"):
        (tmp_path / left).touch()
    (tmp_path / "kept.h5").touch()

    def fail():
        with scratch_file(tmp_path / "prediction.h5") as path:
            assert [other.name for other in tmp_path.iterdir()] == ["kept.h5"]
            path.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [other.name for other in tmp_path.iterdir()] == ["kept.h5"]
