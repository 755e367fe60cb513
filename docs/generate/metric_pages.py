"""Metrics and costs, from their registries."""

from __future__ import annotations

from pieces import table

from hsipipe.metrics.definitions import DEFINITIONS
from hsipipe.metrics.registry import METRICS
from hsipipe.report import costs

_RECONSTRUCTION = ("mpsnr", "psnr", "ssim", "sam", "rmse", "ergas")
GROUPS = {
    "Denoising": (*_RECONSTRUCTION, "mse", "sam_original", "peer_psnr", "band_psnr", "band_mse"),
    "Fusion": (*_RECONSTRUCTION, "uqi", "inner_psnr", "inner_mpsnr", "inner_sam"),
    "Fusion, as SpectraMorph computes it (`peer: true`)": tuple(
        f"spectramorph_{name}" for name in ("psnr", "ssim", "sam", "rmse", "uiqi", "ergas")
    ),
    "Fusion without a truth (`hsipipe fuse`)": (
        *(f"{image}_{kind}" for image in ("hsi", "msi") for kind in ("rmse", "snr", "noise_ratio")),
        *("d_lambda", "d_s", "hqnr"),
    ),
    "Segmentation: autoencoders": ("reconstruction_mse", "reconstruction_psnr", "sam", "sam_median"),
    "Segmentation: clusterings": (
        *("nmi", "ari", "purity", "hungarian_oa", "hungarian_aa", "hungarian_kappa", "clusters"),
    ),
    "Segmentation: classifiers": ("oa", "aa", "kappa", "recall", "precision", "touching"),
    "Representation": (
        *("probe", "probe_accuracy", "probe_f1", "probe_1", "probe_5", "probe_10", "probe_leaky", "knn5", "knn20"),
        *("pairs", "other_bands", "session", "session_chance", "silhouette", "silhouette_cosine", "silhouette_null"),
        *("eta2", "kruskal_share", "permanova_r2", "permanova_p", "planted_rank", "planted_effect"),
    ),
}
BETTER = {True: "higher", False: "lower", None: "describes, ranks none"}


def metrics_page() -> str:
    """All metrics by task: name, print, unit, direction, digits, definition and the function that computes it."""
    lines = [
        "# Metrics\n",
        "Names as a config, `--metric` and `scores.csv` have them. A table prints label and unit, an arrow to",
        "the better, and so",
        "many decimals. What the field computes otherwise: [metrics and their",
        "conventions](../explanation/metrics.md).\n",
    ]
    for task, names in GROUPS.items():
        rows = []
        for name in names:
            metric = METRICS[name]
            digits = "4 significant" if metric.decimals is None else metric.decimals
            rows.append(
                (
                    f"`{name}`",
                    metric.label,
                    metric.unit or "-",
                    BETTER[metric.higher_is_better],
                    digits,
                    DEFINITIONS[name],
                )
            )
        lines += [f"## {task}\n", table(("name", "printed as", "unit", "better", "decimals", "definition"), rows)]
    return "\n".join(lines)


def costs_page() -> str:
    """All costs: name, heading, where in run.json they stand."""
    rows = [
        (f"`{name}`", cost.heading, f"`{'.'.join(cost.path)}`", cost.decimals, costs.DEFINITIONS[name])
        for name, cost in costs.COSTS.items()
    ]
    return "\n".join(
        [
            "# Costs\n",
            "What a run costs, for the `costs` of a table and the `cost` of a claim. All of it stands in",
            "`run.json` beside the",
            "scores of a run; tables of costs are files of their own, since seconds differ from run to run and",
            "scores do not.\n",
            table(("name", "heading", "in run.json", "decimals", "what it is"), rows),
        ]
    )
