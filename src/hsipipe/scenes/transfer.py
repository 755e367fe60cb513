"""One file over HTTP, resumed where it broke off."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hsipipe import __version__
from hsipipe.files import write_json

TIMEOUT_S = 60.0
ATTEMPTS = 4  # in a row without a new byte; an attempt that moved on starts the count afresh
MOST_ATTEMPTS = 100
BACKOFF_S = 1.0  # doubled after every failure in a row
_CHUNK = 1 << 20
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class TransferError(Exception):
    """A transfer that failed for good; `str()` is the reason."""


class _Broken(Exception):
    """A transfer that broke off and may be taken up again."""


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """Follow a redirection to http and https only, never to a local file."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise TransferError(f"is redirected to {newurl}, which is neither http nor https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, part: Path, *, limit: int | None, resumable: bool, progress: bool = True) -> None:
    """Bring `url` to the file `part` (NAME.part), continuing what is already there.

    A broken transfer is taken up by an HTTP Range request that holds only if the file is still the same (If-Range with
    its ETag or Last-Modified, kept in NAME.part.json); if the server ignores ranges, or the file has changed, it starts
    again. On failure the part stays for the next time.

    Args:
        url: http, https or file; without credentials.
        part: where the bytes go; its folder must exist.
        limit: the size that is expected, or None; a longer file is refused before it is read to its end.
        resumable: whether a wrong combination of two files would be found out later (the hash is known); if not, a
            transfer is resumed only where the server identifies the file.
        progress: show a bar on standard error.

    Raises:
        TransferError: after repeated failures, an HTTP error, or a file of the wrong size.
    """
    if urlsplit(url).scheme == "file":
        _copy_local(url, part, limit)
        return
    if urlsplit(url).scheme not in ("http", "https"):
        raise TransferError("is neither http, https nor file")
    failures = 0
    for attempt in range(1, MOST_ATTEMPTS + 1):
        before = _size(part)
        try:
            _attempt(url, part, limit, resumable, progress)
            return
        except _Broken as error:
            failures = failures + 1 if _size(part) <= before else 1
            if failures >= ATTEMPTS or attempt == MOST_ATTEMPTS:
                raise TransferError(str(error)) from error
            time.sleep(BACKOFF_S * 2 ** (failures - 1) * random.uniform(0.8, 1.2))


def forget(part: Path) -> None:
    """Remove a part and what is noted of it."""
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, limit: int | None, resumable: bool, progress: bool) -> None:
    start, note = _size(part), _read_note(part)
    if start and (note.get("url") != url or not (note.get("validator") or resumable)):
        start = 0
    headers = {"User-Agent": f"hsipipe/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if note.get("validator"):
            headers["If-Range"] = note["validator"]
    opener = urllib.request.build_opener(_HttpOnly)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as response:
            _receive(response, url, part, start, note, limit, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing beyond what is there: complete, or not the same file any more
            if note.get("total") == start:
                return
            forget(part)
            raise _Broken("the server refused to resume") from error
        message = f"HTTP {error.code} {error.reason}"
        raise (_Broken if error.code in _TRANSIENT else TransferError)(message) from error
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from error


def _receive(
    response: Any, url: str, part: Path, start: int, note: dict[str, Any], limit: int | None, progress: bool
) -> None:
    from tqdm import tqdm

    validator = _validator(response.headers)
    begins, total = _range_of(response)
    if response.status != 206 or begins != start or (note.get("validator") and validator != note["validator"]):
        if response.status == 206 and begins != 0:
            forget(part)  # a piece of a file that is not the one begun: start again from nothing
            raise _Broken("the file has changed on the server")
        start = 0
    if limit is not None and total is not None and total != limit:
        forget(part)
        raise TransferError(f"has {total} bytes where {limit} are expected")
    write_json(_note_path(part), {"url": url, "validator": validator, "total": total})
    bar = tqdm(
        total=total,
        initial=start,
        desc=part.name.removesuffix(".part"),
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=not progress,
        file=sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    received = start
    with bar, open(part, "r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        while chunk := response.read1(_CHUNK):
            received += len(chunk)
            if limit is not None and received > limit:
                break
            file.write(chunk)
            bar.update(len(chunk))
    if limit is not None and received > limit:
        forget(part)
        raise TransferError(f"has more than the {limit} bytes that are expected")
    if total is not None and received != total:
        raise _Broken(f"broke off after {received} of {total} bytes")
    if total is None and limit is not None and received < limit:
        raise _Broken(f"broke off after {received} of {limit} bytes")


def _range_of(response: Any) -> tuple[int, int | None]:
    """First byte of the answer and size of the whole file (None: the server does not tell)."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if not match:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _validator(headers: Any) -> str | None:
    """What identifies this version of the file: a strong ETag, otherwise its time of change."""
    etag = headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return headers.get("Last-Modified")


def _copy_local(url: str, part: Path, limit: int | None) -> None:
    source = Path(urllib.request.url2pathname(urlsplit(url).path))
    try:
        size = os.stat(source).st_size
        if limit is not None and size != limit:
            raise TransferError(f"has {size} bytes where {limit} are expected")
        shutil.copyfile(source, part)
    except OSError as error:
        raise TransferError(error.strerror or str(error)) from error


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> dict[str, Any]:
    try:
        note = json.loads(_note_path(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or torn: then the part cannot be trusted and is begun again
        return {}
    return note if isinstance(note, dict) else {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
