"""What is known of each metric: its name in print, its unit, which way is better, how many digits are shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric as tables, figures and claims need to know it."""

    label: str
    unit: str
    higher_is_better: bool
    decimals: int

    @property
    def heading(self) -> str:
        """Label, unit and an arrow towards the better."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.label}{unit} {'↑' if self.higher_is_better else '↓'}"


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
    "band_psnr": Metric("PSNR of one band", "dB", True, 2),
    "band_mse": Metric("MSE of one band", "", False, 5),
}
