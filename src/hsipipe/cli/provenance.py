"""The verbs explain, bundle and verify: where results come from, and whether they are what they were."""

from __future__ import annotations

import argparse

from hsipipe.cli.output import print_json
from hsipipe.cli.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module to the parser."""
    explain = verbs.add(
        "explain",
        explain_result,
        group="studies",
        summary="walk a result back to runs, settings, inputs and code",
        description="Print the tree of steps and files that a result came from, and compute a number of a table anew. "
        "Exit code 1 if something on the way is not as it was recorded.",
        examples=[
            "hsipipe explain results/papers/demo/tables/denoising.md --variant hyres --metric MPSNR",
            "hsipipe explain results/denoising/simulated-hyspecnet/hyres/seed0 --json",
        ],
        json="one object: result, problems, changed_since, tree",
    )
    explain.add_argument(
        "result",
        metavar="RESULT",
        help="a table, scores, run, figure, model, case or scene; or TABLE.csv:VARIANT:METRIC",
    )
    explain.add_argument("--variant", metavar="NAME", help="the row of a number in a table or in scores")
    explain.add_argument("--metric", metavar="NAME", help="its column, by the name in the CSV or by the heading")
    explain.add_argument("--case", metavar="NAME", help="its case, where the table has several")

    bundle = verbs.add(
        "bundle",
        bundle_paper,
        group="studies",
        summary="all that a study shows, with hashes, in one archive",
        description="Pack config, scores, tables, figures, claims, records and hashes of a finished study.",
        examples=["hsipipe bundle demo -o demo.zip", "hsipipe bundle demo -o demo-models.tar --models"],
        json="one object: path, files, bytes, sha256",
    )
    bundle.add_argument("paper", metavar="STUDY", help="its name, or its config file")
    bundle.add_argument("-o", "--output", required=True, metavar="ARCHIVE", help="a .zip, .tar or .tar.gz")
    bundle.add_argument("--models", action="store_true", help="with trained models")
    bundle.add_argument("--predictions", action="store_true", help="with the predictions that were kept")
    bundle.add_argument("--report", metavar="FILE", help="with the report that `snakemake --report FILE` wrote")

    verify = verbs.add(
        "verify",
        verify_bundle,
        group="studies",
        summary="check a bundle: hashes, and tables against scores",
        description="Check every hash of a bundle, and make its tables and claims anew from its scores. Exit code 1 if "
        "anything differs.",
        examples=["hsipipe verify demo.zip"],
        json="one object: bundle, verified, problems, files, recomputed",
    )
    verify.add_argument(
        "bundle", metavar="BUNDLE", help="an archive of `hsipipe bundle`, or the folder that it was unpacked to"
    )


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
