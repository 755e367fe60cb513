"""`fit`: train an autoencoder or a classifier on the training part of a case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsipipe.cases.split import Unit
from hsipipe.methods import Method
from hsipipe.tasks.segmentation.case import CaseFile


def fit(
    case: str | Path,
    scenes: Sequence[str | Path],
    units: Sequence[Unit],  # noqa: ARG001 -- what each pixel is for stands in the case file
    method: Method,
    settings: dict[str, Any],
    *,
    case_settings: dict[str, Any],  # noqa: ARG001
    seed: int,
    key: str,
    state: str | Path,
    output: str | Path,
    curves: str | Path,
    samples: str | Path,
    start: str | Path | None = None,
) -> None:
    """Train, and write the model file, its loss curves and a picture.

    An interrupted training of an autoencoder goes on where it was; classifiers take seconds to minutes and start anew.

    Args:
        case, scenes: the case file, and the scenes that its units lie in.
        method, settings: what to train, with complete settings.
        seed: of the run.
        key: a hash of the code.
        state: folder for what an interrupted training continues from.
        output, curves, samples: where the model, the loss curves and the picture go.
        start: for an autoencoder, a model file whose weights it starts from.

    Raises:
        UserError: a case without training pixels, weights that do not fit, or a loss that is not finite.
    """
    with CaseFile(case, scenes) as opened:
        if method.loop:
            from hsipipe.tasks.segmentation.fit_autoencoder import fit_autoencoder

            fit_autoencoder(
                opened,
                method,
                settings,
                seed=seed,
                key=key,
                state=Path(state),
                output=Path(output),
                curves=curves,
                samples=samples,
                start=start,
            )
        else:
            from hsipipe.tasks.segmentation.fit_classifier import fit_classifier

            fit_classifier(opened, method, settings, seed=seed, key=key, output=output, curves=curves, samples=samples)
