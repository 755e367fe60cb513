"""What is known of each metric: its name in print, its unit, which way is better, how many digits are shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric as tables, figures and claims need to know it.

    Attributes: label; unit; higher_is_better: None where it describes a run and ranks none; decimals: None for four
    significant digits, where the scene decides on the size of the values.
    """

    label: str
    unit: str
    higher_is_better: bool | None
    decimals: int | None

    @property
    def heading(self) -> str:
        """Label, unit and an arrow towards the better."""
        unit = f" [{self.unit}]" if self.unit else ""
        arrow = {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]
        return f"{self.label}{unit}{arrow}"

    @property
    def format(self) -> str:
        """How values are written: what stands after the colon of a format string."""
        return ".4g" if self.decimals is None else f".{self.decimals}f"


METRICS = {
    "mpsnr": Metric("MPSNR", "dB", True, 2),
    "psnr": Metric("PSNR", "dB", True, 2),
    "peer_psnr": Metric("PSNR as published", "dB", True, 2),
    "ssim": Metric("SSIM", "", True, 3),
    "sam": Metric("SAM", "°", False, 2),
    "sam_original": Metric("SAM, original units", "°", False, 2),
    "mse": Metric("MSE", "", False, 5),
    "rmse": Metric("RMSE", "", False, 4),
    "ergas": Metric("ERGAS", "", False, 2),
    "uqi": Metric("UQI", "", True, 3),
    "inner_psnr": Metric("PSNR, border left out", "dB", True, 2),
    "inner_mpsnr": Metric("MPSNR, border left out", "dB", True, 2),
    "inner_sam": Metric("SAM, border left out", "°", False, 2),
    "spectramorph_rmse": Metric("RMSE as in SpectraMorph", "", False, 4),
    "spectramorph_psnr": Metric("PSNR as in SpectraMorph", "dB", True, 2),
    "spectramorph_ssim": Metric("SSIM as in SpectraMorph", "", True, 4),
    "spectramorph_uiqi": Metric("UIQI as in SpectraMorph", "", True, 4),
    "spectramorph_ergas": Metric("ERGAS as in SpectraMorph", "", False, 2),
    "spectramorph_sam": Metric("SAM as in SpectraMorph", "°", False, 2),
    "hsi_rmse": Metric("RMSE to the LR HSI", "", False, 5),
    "hsi_snr": Metric("SNR to the LR HSI", "dB", True, 2),
    "hsi_noise_ratio": Metric("RMSE to the LR HSI / its noise", "", False, 2),
    "msi_rmse": Metric("RMSE to the HR MSI", "", False, 5),
    "msi_snr": Metric("SNR to the HR MSI", "dB", True, 2),
    "msi_noise_ratio": Metric("RMSE to the HR MSI / its noise", "", False, 2),
    "d_lambda": Metric("Spectral distortion D_λ", "", False, 3),
    "d_s": Metric("Spatial distortion D_S", "", False, 3),
    "hqnr": Metric("HQNR", "", True, 3),
    "band_psnr": Metric("PSNR of one band", "dB", True, 2),
    "band_mse": Metric("MSE of one band", "", False, 5),
    "nmi": Metric("NMI", "", True, 3),
    "ari": Metric("ARI", "", True, 3),
    "purity": Metric("Purity", "", True, 3),
    "hungarian_oa": Metric("OA, best matching", "", True, 3),
    "hungarian_aa": Metric("AA, best matching", "", True, 3),
    "hungarian_kappa": Metric("κ, best matching", "", True, 3),
    "clusters": Metric("Clusters", "", None, 1),
    "oa": Metric("OA", "%", True, 2),
    "aa": Metric("AA", "%", True, 2),
    "kappa": Metric("κ", "", True, 3),
    "probe": Metric("Linear probe, balanced accuracy", "%", True, 1),
    "probe_accuracy": Metric("Linear probe, accuracy", "%", True, 1),
    "probe_f1": Metric("Linear probe, macro F1", "%", True, 1),
    "probe_1": Metric("Probe with 1 % of the labels", "%", True, 1),
    "probe_5": Metric("Probe with 5 % of the labels", "%", True, 1),
    "probe_10": Metric("Probe with 10 % of the labels", "%", True, 1),
    "probe_leaky": Metric("Probe, random folds (leaky)", "%", None, 1),
    "knn5": Metric("5 nearest neighbours", "%", True, 1),
    "knn20": Metric("20 nearest neighbours", "%", True, 1),
    "pairs": Metric("Pairs told apart", "%", True, 1),
    "other_bands": Metric("Probe on bands it was not fitted to", "%", True, 1),
    "session": Metric("Session told", "%", False, 1),
    "session_chance": Metric("Session told by chance", "%", None, 1),
    "silhouette": Metric("Silhouette", "", True, 3),
    "silhouette_cosine": Metric("Silhouette, cosine", "", True, 3),
    "silhouette_null": Metric("Silhouette, shuffled", "", None, 3),
    "eta2": Metric("η² of classes", "", True, 3),
    "kruskal_share": Metric("Dimensions that tell classes", "%", True, 1),
    "permanova_r2": Metric("PERMANOVA R²", "", True, 3),
    "permanova_p": Metric("PERMANOVA p", "", False, 3),
    "planted_rank": Metric("Rank of the planted window", "", False, 1),
    "planted_effect": Metric("Effect of the planted window", "", None, 2),
    "recall": Metric("Recall, mean of classes", "%", True, 2),
    "precision": Metric("Precision, mean of classes", "%", True, 2),
    "touching": Metric("Test pixels beside training pixels", "%", None, 1),
    "sam_median": Metric("SAM, median", "°", False, 3),
    "reconstruction_mse": Metric("MSE, original units", "", False, None),
    "reconstruction_psnr": Metric("PSNR, original units", "dB", True, 2),
}
