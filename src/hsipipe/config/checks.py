"""Checks across a config's sections: names that make paths, and references that find what they name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterable

from hsipipe.config.paper import Paper
from hsipipe.config.sections import PublishedSettings
from hsipipe.errors import UserError, unknown

SHARED_WITH_ENCODER = ("preset",)  # other differences are adapted when the weights are taken over
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def check_paper(paper: Paper, where: str, *, sizes: Collection[str] = ()) -> None:
    """Raise UserError unless names can be parts of paths and every reference finds what it names."""
    _check_names(paper, where)
    _check_encoders(paper, where)
    _check_cases(paper, where)
    for key, table in paper.tables.items():
        here = f"{where}: tables.{key}"
        _check_shown(paper, table.task, table.cases, table.variants or [], here)
        if table.published is not None:
            _check_published(table.published, list(paper.variants[table.task]), f"{here}.published")
    for key, figure in paper.figures.items():
        here = f"{where}: figures.{key}"
        _check_shown(paper, figure.task, [figure.case], figure.variants or [], here)
        kinds = importlib.import_module(f"hsipipe.tasks.{figure.task}.settings").FIGURES
        _find("kind of figure", figure.kind, kinds, here)
    for index, claim in enumerate(paper.claims):
        here = f"{where}: claims[{index}]"
        compared = [name for name in (claim.better, *claim.than) if name is not None]
        _check_shown(paper, claim.task, [claim.case], compared, here)
        if claim.needs is not None and sizes:
            _find("size", claim.needs, sizes, f"{here}.needs")


def _find(kind: str, name: str, choices: Iterable[str], where: str) -> None:
    known = list(choices)
    if name not in known:
        raise unknown(kind, name, known, file=where)


def _check_published(published: PublishedSettings, variants: list[str], where: str) -> None:
    """Check that published numbers are of variants, or of systems that are listed as others."""
    for name in published.others:
        if name in variants:
            raise UserError(f"{name!r} is a variant that is run here", file=f"{where}.others")
    for heading, values in published.columns.items():
        for name in values:
            _find("variant", name, [*variants, *published.others], f"{where}.columns.{heading}")


def _check_names(paper: Paper, where: str) -> None:
    named: list[tuple[str, str]] = [("paper", paper.name)]
    named += [("scene", name) for name in paper.scenes]
    named += [("case", name) for by_name in paper.cases.values() for name in by_name]
    named += [("variant", name) for by_name in paper.variants.values() for name in by_name]
    named += [("table", name) for name in paper.tables] + [("figure", name) for name in paper.figures]
    for kind, name in named:
        if not NAME.fullmatch(name):
            raise UserError(
                f"{name!r} cannot name a {kind}",
                file=where,
                remedy="use letters, digits, and . _ + - after the first",
            )


def _check_encoders(paper: Paper, where: str) -> None:
    """Check that a variant's `encoder` is of the method that its own method needs, and that the two are alike."""
    for task, variants in paper.variants.items():
        for name, variant in variants.items():
            if variant.encoder is None:
                continue
            here = f"{where}: {task}.variants.{name}.encoder"
            suitable = [other.name for other in variants.values() if other.method.name in variant.method.needs]
            if variant.encoder not in suitable:
                raise UserError(
                    f"names no variant of method {' or '.join(map(repr, variant.method.needs))}",
                    file=here,
                    found=variant.encoder,
                    remedy=f"one of {', '.join(suitable)}" if suitable else "define one, or `encoder: none`",
                )
            encoder = variants[variant.encoder]
            for key in sorted(set(SHARED_WITH_ENCODER) & set(encoder.settings) & set(variant.settings)):
                if encoder.settings[key] != variant.settings[key]:
                    raise UserError(
                        f"differs from its encoder {variant.encoder!r} in {key}",
                        file=here,
                        found=f"{variant.settings[key]} and {encoder.settings[key]}",
                        remedy=f"give both the same {key}",
                    )


def _check_cases(paper: Paper, where: str) -> None:
    if not any(paper.cases.values()):
        raise UserError("a study needs a case", file=where, remedy="give a task, such as `denoising`, its `cases`")
    for task, by_name in paper.cases.items():
        if by_name and not paper.variants[task]:
            raise UserError("has cases but no variants to run on them", file=where, key=task)
        for name, case in by_name.items():
            here = f"{where}: {task}.cases.{name}"
            for variant in case.variants or []:
                _find("variant", variant, paper.variants[task], here)
            if case.models_from is not None:
                _find("case", case.models_from, by_name, f"{here}.models_from")
                if case.models_from == name or by_name[case.models_from].models_from is not None:
                    raise UserError(
                        "must name another case, one that trains models itself",
                        file=here,
                        key="models_from",
                        found=case.models_from,
                    )
            _check_training(paper, task, name, here)


def _check_training(paper: Paper, task: str, name: str, where: str) -> None:
    """Check that the case whose models are used has something to train them on."""
    case = paper.cases[task][name]
    source = case.models_from or name
    variants = paper.variants[task]
    fitted = [variant for variant in case.variants or variants if variants[variant].method.is_fitted]
    if fitted and not paper.cases[task][source].has_training:
        raise UserError(
            f"{', '.join(fitted)} must be trained, and case {source!r} has no training part",
            file=where,
            key="split",
            remedy="split the case, name one that trains with `models_from`, or choose its `variants`",
        )


def _check_shown(paper: Paper, task: str, cases: Iterable[str], variants: Iterable[str], where: str) -> None:
    """Check that what is shown or compared exists: a task, its cases, and variants that run on one of the cases."""
    _find("task", task, paper.cases, where)
    run: set[str] = set()
    for name in cases:
        _find("case", name, paper.cases[task], where)
        run.update(paper.cases[task][name].variants or paper.variants[task])
    for name in variants:
        _find("variant", name, paper.variants[task], where)
        if paper.variants[task][name].method.kind == "encoder":
            raise UserError(
                f"variant {name!r} is an encoder: it is trained for others, and makes no scores", file=where
            )
        if name not in run:
            raise UserError(f"variant {name!r} runs on none of its cases", file=where, found=", ".join(cases))
