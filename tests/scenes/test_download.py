import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
import zipfile

import pytest

from hsipipe.errors import UserError
from hsipipe.scenes import archives, transfer
from hsipipe.scenes.archives import unpack
from hsipipe.scenes.catalogue import SceneEntry, SceneFile
from hsipipe.scenes.download import download_scene, read_records
from hsipipe.scenes.mirror import find_in_mirror

CONTENT = os.urandom(300_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes); breaks, hides ranges or changes the file as told; keeps what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/one.bin": CONTENT}
        self.break_after = []  # per coming request: cut the answer after so many bytes
        self.ranges = True
        self.etag = '"v1"'
        self.failures = []  # per coming request: an HTTP status to answer with
        self.redirect = None
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path="/one.bin"):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if server.failures:
            self.send_error(server.failures.pop(0))
            return
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in server.files:
            self.send_error(404)
            return
        content, start = server.files[self.path], 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        condition = self.headers.get("If-Range")
        if asked and server.ranges and condition in (None, server.etag):
            start = int(asked[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.break_after:
            body = body[: server.break_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("HSIPIPE_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    with Server() as running:
        yield running
        running.shutdown()


def entry(url, *, content=CONTENT, known=True, mirror="", name="one.bin"):
    sha256 = hashlib.sha256(content).hexdigest() if known else None
    size = len(content) if known else None
    return SceneEntry("one", (SceneFile(name, "image", "", url, mirror, sha256, size, "CC0-1.0", ""),))


def download(scene, folder, **options):
    return download_scene(scene, folder, progress=False, **options)


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and ".part" in path.name)


def test_a_file_is_fetched_once(server, tmp_path):
    scene = entry(server.url(), name="sub/one.bin")
    assert download(scene, tmp_path) == [tmp_path / "sub" / "one.bin"]
    assert (tmp_path / "sub" / "one.bin").read_bytes() == CONTENT
    download(scene, tmp_path)
    assert len(server.asked) == 1
    assert leftovers(tmp_path) == []


def test_a_broken_transfer_is_resumed_by_range(server, tmp_path):
    server.break_after = [100_000, 50_000]
    download(entry(server.url()), tmp_path)
    assert (tmp_path / "one.bin").read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.asked[1][2] == '"v1"'


def test_a_transfer_is_resumed_by_the_next_call(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.break_after = [120_000]
    with pytest.raises(UserError, match="broke off after 120000 of 300000 bytes"):
        download(entry(server.url()), tmp_path)
    assert (tmp_path / "one.bin.part").stat().st_size == 120_000
    assert not (tmp_path / "one.bin").exists()
    download(entry(server.url()), tmp_path)
    assert server.asked[-1][1] == "bytes=120000-"
    assert (tmp_path / "one.bin").read_bytes() == CONTENT
    assert leftovers(tmp_path) == []


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges = False
    server.break_after = [100_000]
    download(entry(server.url()), tmp_path)
    assert (tmp_path / "one.bin").read_bytes() == CONTENT
    assert server.asked[1][1] == "bytes=100000-"


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_changed_meanwhile_is_begun_again(server, tmp_path, monkeypatch, known):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    new = os.urandom(len(CONTENT))
    scene = entry(server.url(), content=new, known=known)
    server.break_after = [100_000]
    with pytest.raises(UserError):
        download(scene, tmp_path)
    server.files["/one.bin"], server.etag = new, '"v2"'
    download(scene, tmp_path)
    assert (tmp_path / "one.bin").read_bytes() == new


def test_without_etag_halves_of_two_files_are_found_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    new = os.urandom(len(CONTENT))
    server.etag = None
    server.break_after = [100_000]
    with pytest.raises(UserError):
        download(entry(server.url(), content=new), tmp_path)
    server.files["/one.bin"] = new
    download(entry(server.url(), content=new), tmp_path)
    assert [asked for _, asked, _ in server.asked] == [None, "bytes=100000-", None]
    assert (tmp_path / "one.bin").read_bytes() == new


def test_without_etag_and_hash_nothing_is_resumed(server, tmp_path):
    server.etag = None
    server.break_after = [100_000]
    download(entry(server.url(), known=False), tmp_path)
    assert [asked for _, asked, _ in server.asked] == [None, None]
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_removed(server, tmp_path):
    server.files["/one.bin"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    found = hashlib.sha256(server.files["/one.bin"]).hexdigest()
    with pytest.raises(UserError) as caught:
        download(entry(server.url()), tmp_path)
    message = str(caught.value)
    assert "one.bin" in message
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert found in message
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_refused_before_it_is_read(server, tmp_path):
    server.files["/one.bin"] = CONTENT + b"more"
    with pytest.raises(UserError, match="300004 bytes where 300000 are expected"):
        download(entry(server.url()), tmp_path)
    assert leftovers(tmp_path) == []


def test_the_second_address_serves_what_the_first_does_not(server, tmp_path):
    server.files["/other.bin"] = CONTENT
    server.files["/one.bin"] = bytes(len(CONTENT))
    for first in ("/absent.bin", "/one.bin"):
        folder = tmp_path / first[1:]
        download(entry(server.url(first), mirror=server.url("/other.bin")), folder)
        assert (folder / "one.bin").read_bytes() == CONTENT


def test_passing_errors_are_tried_again_and_final_ones_not(server, tmp_path):
    server.failures = [503, 429]
    download(entry(server.url()), tmp_path / "a")
    assert len(server.asked) == 3
    with pytest.raises(UserError, match="HTTP 404"):
        download(entry(server.url("/absent.bin")), tmp_path / "b")
    assert len(server.asked) == 4


def test_a_redirection_to_a_local_file_is_refused(server, tmp_path):
    (tmp_path / "secret").write_bytes(CONTENT)
    server.redirect = (tmp_path / "secret").as_uri()
    with pytest.raises(UserError, match="not allowed"):
        download(entry(server.url()), tmp_path / "scene")


def test_a_damaged_file_is_replaced(server, tmp_path):
    (tmp_path / "one.bin").write_bytes(b"damaged")
    download(entry(server.url()), tmp_path)
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_unknown_hash_is_recorded_at_first_and_enforced_later(server, tmp_path):
    scene = entry(server.url(), known=False)
    download(scene, tmp_path)
    record = read_records(tmp_path / "recorded.sha256.tsv")["one.bin"]
    assert record == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), server.url())
    (tmp_path / "one.bin").unlink()
    server.files["/one.bin"] = os.urandom(300_000)
    with pytest.raises(UserError, match=record[0]):
        download(scene, tmp_path)
    assert not (tmp_path / "one.bin").exists()
    server.files["/one.bin"] = CONTENT
    download(scene, tmp_path)
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_records_may_stand_elsewhere(server, tmp_path):
    scene = entry(server.url(), known=False)
    download(scene, tmp_path / "a", recorded=tmp_path / "records.tsv")
    server.files["/one.bin"] = bytes(300_000)
    with pytest.raises(UserError, match="not the file that is expected"):
        download(scene, tmp_path / "b", recorded=tmp_path / "records.tsv")
    (tmp_path / "records.tsv").write_text("file\tsha256\tbytes\tfrom\none.bin\tnonsense\n")
    with pytest.raises(UserError, match=r"records\.tsv:2"):
        download(scene, tmp_path / "b", recorded=tmp_path / "records.tsv")


@pytest.mark.parametrize("by_environment", [True, False])
def test_a_mirror_is_searched_by_hash(tmp_path, monkeypatch, by_environment):
    mirror = tmp_path / "mirror" / "deep"
    mirror.mkdir(parents=True)
    (mirror / "quite another name.dat").write_bytes(CONTENT)
    (mirror / "one.bin").write_bytes(bytes(300_000))  # right name and size, wrong content
    monkeypatch.delenv("HSIPIPE_MIRROR", raising=False)
    if by_environment:
        monkeypatch.setenv("HSIPIPE_MIRROR", str(tmp_path / "mirror"))
    options = {} if by_environment else {"mirror": tmp_path / "mirror"}
    download(entry("http://127.0.0.1:9/one.bin"), tmp_path / "scene", **options)
    assert (tmp_path / "scene" / "one.bin").read_bytes() == CONTENT
    assert (mirror / "quite another name.dat").read_bytes() == CONTENT
    assert not (tmp_path / "scene" / "one.bin").samefile(mirror / "quite another name.dat")


def test_a_mirror_is_searched_by_name_where_no_hash_is_known(tmp_path):
    (tmp_path / "mirror" / "sub").mkdir(parents=True)
    (tmp_path / "mirror" / "sub" / "one.bin").write_bytes(CONTENT)
    scene = entry("http://127.0.0.1:9/one.bin", known=False)
    download(scene, tmp_path / "scene", mirror=tmp_path / "mirror")
    assert "one.bin" in read_records(tmp_path / "scene" / "recorded.sha256.tsv")
    (tmp_path / "mirror" / "one.bin").write_bytes(b"different")
    with pytest.raises(UserError, match="several different files"):
        download(scene, tmp_path / "other", mirror=tmp_path / "mirror")


def test_the_mirror_hashes_only_files_of_the_right_size(tmp_path, monkeypatch):
    from hsipipe.scenes import mirror

    hashed = []
    monkeypatch.setattr(mirror, "_hash", lambda path, *_: hashed.append(path) or "0" * 64)
    (tmp_path / "small").write_bytes(b"123")
    (tmp_path / "large").write_bytes(b"12345")
    assert find_in_mirror(tmp_path, name="x", sha256="1" * 64, size=5) is None
    assert hashed == [str(tmp_path / "large")]


def test_a_mirror_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent.*is not a folder"):
        download(entry("http://127.0.0.1:9/one.bin"), tmp_path / "scene", mirror=tmp_path / "absent")


def test_without_network_the_message_says_what_was_tried_and_what_helps(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    url = server.url()
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError) as caught:
        download(entry(url), tmp_path)
    message = str(caught.value)
    for part in (url, "--config mirror=DIR", "HSIPIPE_MIRROR"):
        assert part in message


def test_file_addresses(tmp_path):
    (tmp_path / "a file.bin").write_bytes(CONTENT)
    scene = entry((tmp_path / "a file.bin").as_uri())
    download(scene, tmp_path / "scene")
    assert (tmp_path / "scene" / "one.bin").read_bytes() == CONTENT
    with pytest.raises(UserError, match="No such file"):
        download(entry((tmp_path / "absent.bin").as_uri()), tmp_path / "other")


def make_tar(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for member in members:
            name, content, kind, link = (*member, None, None)[:4]
            info = tarfile.TarInfo(name)
            info.type = kind or tarfile.REGTYPE
            info.linkname = link or ""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_zip_and_tar_are_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/one.txt", "one")
        archive.writestr("top/sub/two.txt", "two")
    files = unpack(tmp_path / "a.zip", tmp_path / "zip")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in files) == ["zip/top/one.txt", "zip/top/sub/two.txt"]
    assert (tmp_path / "zip" / "top" / "sub" / "two.txt").read_text() == "two"
    tar = make_tar(
        tmp_path / "a.tar.gz",
        ("top", b"", tarfile.DIRTYPE),
        ("top/one.txt", b"one"),
        ("top/link.txt", b"", tarfile.SYMTYPE, "one.txt"),
        ("top/hard.txt", b"", tarfile.LNKTYPE, "top/one.txt"),
    )
    unpack(tar, tmp_path / "tar")
    for name in ("one", "link", "hard"):
        path = tmp_path / "tar" / "top" / f"{name}.txt"
        assert path.read_text() == "one"
        assert not path.is_symlink()


@pytest.mark.parametrize(
    "member",
    [
        ("/absolute.txt", b"x"),
        ("../outside.txt", b"x"),
        ("a/../../outside.txt", b"x"),
        ("link", b"", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", b"", tarfile.SYMTYPE, "../outside.txt"),
        ("link", b"", tarfile.LNKTYPE, "../outside.txt"),
        ("link", b"", tarfile.SYMTYPE, "absent.txt"),
        ("device", b"", tarfile.CHRTYPE),
        ("pipe", b"", tarfile.FIFOTYPE),
    ],
)
def test_members_that_escape_are_refused_and_nothing_stays(tmp_path, member):
    (tmp_path / "outside.txt").write_text("outside")
    tar = make_tar(tmp_path / "a.tar.gz", ("good.txt", b"good"), member)
    with pytest.raises(UserError, match=r"a\.tar\.gz.*holds a"):
        unpack(tar, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []
    assert (tmp_path / "outside.txt").read_text() == "outside"


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    with zipfile.ZipFile(tmp_path / "inner.npz", "w") as archive:
        archive.writestr("cube.npy", "x")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "inner.npz", "inner.npz")
    assert zipfile.is_zipfile(tmp_path / "a.tar")
    (unpacked,) = unpack(tmp_path / "a.tar", tmp_path / "out")
    assert unpacked.read_bytes() == (tmp_path / "inner.npz").read_bytes()


def test_zip_links_and_escapes_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    for name, member in (("link.zip", link), ("up.zip", zipfile.ZipInfo("../up.txt"))):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, "/etc/passwd")
        with pytest.raises(UserError, match="holds a"):
            unpack(tmp_path / name, tmp_path / "target")
    assert not (tmp_path / "up.txt").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "LEAST_LIMIT", 1 << 20)
    bomb = bytes(8 << 20)
    path = tmp_path / f"bomb.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb", bomb)
    else:
        make_tar(path, ("bomb", bomb))
    with pytest.raises(UserError, match="far more than it holds"):
        unpack(path, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_a_damaged_archive_is_named(tmp_path):
    tar = make_tar(tmp_path / "a.tar.gz", ("one.bin", CONTENT))
    tar.write_bytes(tar.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"a\.tar\.gz.*cannot be unpacked"):
        unpack(tar, tmp_path / "target")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UserError, match=r"text\.zip.*cannot be unpacked"):
        unpack(tmp_path / "text.zip", tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []
