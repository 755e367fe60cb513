"""A page for each method and one for each task, from method.yaml."""

from __future__ import annotations

from pathlib import Path

from measured import from_benchmarks, from_papers
from pieces import ROOT, cell, table
from settings_tables import method_settings_table

from hsipipe.methods import RESOURCES, Method, methods_of, tasks, training_entries

KINDS = {
    "direct": "needs no fitting",
    "per-scene": "fitted on the image that it is applied to",
    "trained": "trained on the training part",
    "encoder": "trained on the training part, for other methods to start from",
    "oracle": "sees part of the truth: a ceiling, never a rival",
}
UNITS = {"gpu": "GPUs", "vram_mb": "GPU memory, MB", "threads": "threads", "mem_mb": "memory, MB", "runtime": "minutes"}


def pages() -> dict[str, str]:
    """Path -> text of all pages on methods, the navigation among them."""
    made, navigation = {"reference/methods/index.md": _overview()}, ["- [All methods](index.md)"]
    for task in tasks():
        navigation.append(f"- {task.capitalize()}")
        for method in methods_of(task).values():
            made[f"reference/methods/{task}/{method.name}.md"] = _page(method)
            navigation.append(f"    - [{method.name}]({task}/{method.name}.md)")
    made["reference/methods/SUMMARY.md"] = "\n".join(navigation) + "\n"
    return made


def _overview() -> str:
    lines = [
        "# Methods\n",
        "Every method of every task, from its `method.yaml`: the file that the workflow, `hsipipe methods`",
        "and this page read.",
        "The command line shows the same: `hsipipe methods`. A method of yours joins them by its folder:",
        "[write a method](../../guides/methods.md).\n",
    ]
    for task in tasks():
        rows = [
            (f"[`{method.name}`]({task}/{method.name}.md)", method.title, method.kind, "yes" if method.random else "")
            for method in methods_of(task).values()
        ]
        lines += [f"## {task.capitalize()}\n", table(("method", "title", "kind", "random"), rows)]
    lines += ["## Kinds\n", table(("kind", "meaning"), [(f"`{kind}`", text) for kind, text in KINDS.items()])]
    return "\n".join(lines)


def _page(method: Method) -> str:
    facts = [
        ("task", method.task),
        ("kind", f"`{method.kind}`: {KINDS[method.kind]}"),
        ("random", "yes: one run per seed, tables show mean ± standard deviation" if method.random else "no"),
        ("arrays", {"torch": "torch tensors", "numpy": "NumPy; its runs do not load torch"}[method.backend]),
    ]
    if method.needs:
        facts.append(
            ("needs", "a trained variant of " + " or ".join(f"[`{name}`]({name}.md)" for name in method.needs))
        )
    lines = [
        f"# {method.title}\n",
        f"`{method.name}`\n",
        "\n".join(f"- **{name}**: {text}" for name, text in facts) + "\n",
    ]
    lines += ["## From\n", cell(method.citation) if method.citation else "Nowhere: a rival that needs no paper.", ""]
    if method.deviations:
        lines += ["## Departures from it\n", *(f"- {cell(text)}" for text in method.deviations), ""]
    lines += ["## Settings\n", *_settings(method)]
    if method.resources:
        rows = [
            (f"`{step}`", *(needs.get(name, "") for name in RESOURCES))
            for step, needs in sorted(method.resources.items(), reverse=True)
        ]
        lines += ["## What a job asks for\n", table(("step", *(UNITS[name] for name in RESOURCES)), rows)]
    lines += ["## Measured\n", _measured(method)]
    lines += ["## In Python\n", f"[`{method.module}`](../../api/{_api_page(method)}#{method.module})"]
    return "\n".join(lines) + "\n"


def _settings(method: Method) -> list[str]:
    inherited = training_entries() if method.is_trained_by_loop else {}
    own = {name: entry for name, entry in method.settings.items() if name not in inherited}
    parts = [method_settings_table(own) or "It has none of its own.\n"]
    changed = {name: method.settings[name] for name in inherited if method.settings[name] != inherited[name]}
    if inherited:
        parts.append(
            "It is trained by the training loop and has [all settings of the training](../../training.md) besides."
        )
    if changed:
        parts.append("These differ from the loop's own:\n\n" + method_settings_table(changed))
    parts.append(f"Give them in a config, `{{method: {method.name}, SETTING: VALUE}}`, or as `--set SETTING=VALUE`.\n")
    return parts


def _measured(method: Method) -> str:
    parts = [from_papers(method, Path(ROOT / "results")), from_benchmarks(method)]
    return "\n".join(part for part in parts if part) or "No committed benchmark has it; run a study that does.\n"


def _api_page(method: Method) -> str:
    return f"tasks-{method.task}-methods.md"
