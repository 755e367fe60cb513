"""The verbs explain, bundle and verify: where results come from, and whether they are what they were."""

from __future__ import annotations

import argparse
from typing import Any

from hsipipe.cli.output import print_json


def add_verbs(verbs: Any, common: argparse.ArgumentParser, arrays: argparse.ArgumentParser) -> None:
    """Add the verbs of this module to the parser."""
    del arrays
    explain = verbs.add_parser("explain", parents=[common], help="walk a result back to runs, settings, inputs, code")
    explain.add_argument(
        "result", help="a table, scores, run, figure, model, case or scene; or TABLE.csv:VARIANT:METRIC"
    )
    explain.add_argument("--variant", help="the row of a number in a table or in scores")
    explain.add_argument("--metric", help="its column, by the name in the CSV or by the heading")
    explain.add_argument("--case", help="its case, where the table has several")
    explain.add_argument("--json", action="store_true", help="one JSON object")
    explain.set_defaults(function=explain_result)

    bundle = verbs.add_parser("bundle", parents=[common], help="all that a paper shows, with hashes, in one archive")
    bundle.add_argument("paper", help="its name, or its config file")
    bundle.add_argument("-o", "--output", required=True, metavar="FILE", help="FILE.zip, FILE.tar or FILE.tar.gz")
    bundle.add_argument("--models", action="store_true", help="with trained models")
    bundle.add_argument("--predictions", action="store_true", help="with the predictions that were kept")
    bundle.add_argument("--report", metavar="FILE", help="with the report that `snakemake --report FILE` wrote")
    bundle.add_argument("--json", action="store_true", help="one JSON object")
    bundle.set_defaults(function=bundle_paper)

    verify = verbs.add_parser("verify", parents=[common], help="check a bundle: hashes, and tables against scores")
    verify.add_argument("bundle", help="an archive that `hsipipe bundle` wrote, or the folder that it was unpacked to")
    verify.add_argument("--json", action="store_true", help="one JSON object")
    verify.set_defaults(function=verify_bundle)


def explain_result(options: argparse.Namespace) -> int:
    """Print the tree of a result; 1 if something on the way is not as it was recorded."""
    from hsipipe.provenance.explain import explain

    found = explain(options.result, variant=options.variant, metric=options.metric, case=options.case)
    if options.json:
        told = {"problems": found.problems, "changed_since": found.since}
        print_json({"result": options.result, **told, "tree": found.tree.as_dict()})
    else:
        print("\n".join(found.tree.lines()))
        for line in found.since:
            print(f"changed since: {line}")
        for problem in found.problems:
            print(f"not as recorded: {problem}")
    return 1 if found.problems else 0


def bundle_paper(options: argparse.Namespace) -> None:
    """Write a bundle and tell its size."""
    from hsipipe.files import sha256_of
    from hsipipe.provenance.bundle import write_bundle

    bundle = write_bundle(
        options.paper,
        options.output,
        models=options.models,
        predictions=options.predictions,
        report=options.report,
    )
    size, sha256 = bundle.path.stat().st_size, sha256_of(bundle.path)
    if options.json:
        print_json({"path": str(bundle.path), "files": bundle.names, "bytes": size, "sha256": sha256})
        return
    print(f"{bundle.path}: {len(bundle.names)} files, {bundle.size_bytes / 1e6:.1f} MB, packed {size / 1e6:.1f} MB")
    print(f"sha256 {sha256}")


def verify_bundle(options: argparse.Namespace) -> int:
    """Print what is wrong with a bundle, a line each; 1 if anything is."""
    from hsipipe.provenance.verify import verify

    verdict = verify(options.bundle)
    if options.json:
        told = {"files": verdict.files, "recomputed": verdict.recomputed, **verdict.about}
        print_json({"bundle": options.bundle, "verified": not verdict.problems, "problems": verdict.problems, **told})
    else:
        for problem in verdict.problems:
            print(problem)
        state = f"{len(verdict.problems)} problems" if verdict.problems else "verified"
        print(
            f"{options.bundle}: {state}; {verdict.files} files, {len(verdict.recomputed)} tables and claims made anew"
        )
    return 1 if verdict.problems else 0
