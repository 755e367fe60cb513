"""The scenes that can be downloaded, from config/scenes.tsv."""

from __future__ import annotations

from pieces import ROOT, table

from hsipipe.scenes.catalogue import SceneEntry, read_catalogue


def page() -> str:
    """The catalogue: scene, what it is, roles of its files, bytes, licence, and the addresses of every file."""
    entries = read_catalogue(ROOT / "config" / "scenes.tsv")
    rows = [
        (f"`{name}`", _notes(entry), _roles(entry), _size(entry), _licences(entry)) for name, entry in entries.items()
    ]
    lines = [
        "# Scenes\n",
        "What `config/scenes.tsv` can download. A config names a scene; the workflow fetches it, checks its",
        "SHA-256, and reads it.",
        "Without a network: `--config mirror=FOLDER`, with the files under any names. A scene keeps the",
        "licence of its provider;",
        "*not stated* means that the provider states none.\n",
        table(("scene", "what it is", "files", "bytes", "licence"), rows, right=["bytes"]),
        "## Files\n",
    ]
    for name, entry in entries.items():
        rows = [
            (
                f"`{file.file}`",
                file.role,
                f"{file.bytes:,}" if file.bytes else "not stated",
                f"`{file.url}`",
                f"`{file.sha256[:12]}...`" if file.sha256 else "recorded at the first download",
            )
            for file in entry.downloads
        ]
        lines += [f"### {name}\n", table(("file", "role", "bytes", "from", "SHA-256"), rows, right=["bytes"])]
    return "\n".join(lines)


def _notes(entry: SceneEntry) -> str:
    return (
        "; ".join(
            dict.fromkeys(
                file.note for file in entry.files if file.note and file.role in ("image", "archive", "labels")
            )
        )
        or entry.files[0].note
    )


def _roles(entry: SceneEntry) -> str:
    roles = [file.role for file in entry.files]
    return ", ".join(f"{roles.count(role)} {role}" for role in dict.fromkeys(roles))


def _size(entry: SceneEntry) -> str:
    known = [file.bytes for file in entry.downloads]
    return f"{sum(known):,}" if all(known) else "not stated"


def _licences(entry: SceneEntry) -> str:
    return ", ".join(dict.fromkeys(file.licence for file in entry.files))
