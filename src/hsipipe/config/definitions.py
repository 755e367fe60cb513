"""Papers that share results by path: one name has one definition among all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from hsipipe.config.load import load_paper, read_config
from hsipipe.config.paper import Paper
from hsipipe.errors import UserError

log = logging.getLogger(__name__)


def load_papers(folder: str | Path, *, but: str = "") -> list[tuple[str, Paper]]:
    """Every paper of a config folder in each of its sizes, as (where, paper), leaving out the paper named `but`.

    A paper that is wrong in itself is passed over with a warning: its own run tells, and others can run meanwhile.
    """
    found = []
    for path in sorted([*Path(folder).glob("config.yaml"), *Path(folder).glob("papers/*.yaml")]):
        try:
            config = read_config(path)
            if config.get("paper") != but:
                sizes = config.get("sizes")
                for size in sizes if sizes and isinstance(sizes, Mapping) else ["demo"]:
                    found.append((f"{path} ({size})", load_paper({**config, "size": size}, file=path)))
        except UserError as error:
            log.warning("not compared with this paper: %s", error)
    return found


def definitions(paper: Paper) -> dict[str, str]:
    """Every scene, case and variant of a paper and what defines it, to find names with two definitions among papers."""
    # A scene of the catalogue has no settings here, so that a scene of one's own under its name differs.
    used = {*paper.scenes, *paper.scene_names()}
    found = {f"scenes/{name}": repr(paper.scenes.get(name)) for name in sorted(used)}
    for task, by_name in paper.cases.items():
        for name, case in by_name.items():
            plain = {entry.name: getattr(case, entry.name) for entry in fields(case) if entry.name != "variants"}
            scenes = {scene: repr(paper.scenes.get(scene)) for scene in case.scenes}
            found[f"{task}/{name}"] = repr((plain, scenes))
            named = [paper.variants[task][variant] for variant in case.variants or paper.variants[task]]
            encoders = [paper.variants[task][variant.encoder] for variant in named if variant.encoder is not None]
            for chosen in [*named, *encoders]:
                found[f"{task}/{name}/{chosen.name}"] = repr((chosen.method.name, sorted(chosen.settings.items())))
    return found


def check_definitions(papers: Iterable[tuple[str, Paper]]) -> None:
    """Refuse papers that share a path of results but define it differently."""
    seen: dict[str, tuple[str, str]] = {}
    for where, paper in papers:
        for path, definition in definitions(paper).items():
            other = seen.setdefault(path, (where, definition))
            if other[1] != definition:
                raise UserError(
                    f"{path} is defined otherwise in {other[0]}",
                    file=where,
                    remedy="results are shared by path: give one of them another name",
                )
