"""Noises by name.

`hyspecnet` is the noise of the HySpecNet-11k denoising experiments that the paper `denoising-peft` repeats: Gaussian
and stripes on images scaled to [0, 1] band by band, then clipped to that range.

`gaussian-*` and `mixed-1` ... `mixed-5` are the field's benchmark (Wei, Fu, Huang, "3-D quasi-recurrent neural network
for hyperspectral image denoising", IEEE TNNLS 32(1), 2021; used by most later papers): standard deviations in units of
1/255, not clipped. Mixed: every band gets Gaussian noise of one of four levels; one third of the bands gets in addition
stripes, dead lines or impulses; in `mixed-5` each of the three has its own third.
"""

from __future__ import annotations

from typing import Any

_NONIID: dict[str, Any] = {"type": "noniid-gaussian", "levels": [10 / 255, 30 / 255, 50 / 255, 70 / 255]}
_STRIPE: dict[str, Any] = {
    "type": "stripe",
    "fraction": 0.05,
    "fraction_high": 0.15,
    "intensity": 0.25,
    "per_band_columns": True,
    "bands": 1 / 3,
}
_DEADLINE: dict[str, Any] = {"type": "deadline", "fraction": 0.05, "fraction_high": 0.15, "bands": 1 / 3}
_IMPULSE: dict[str, Any] = {"type": "impulse", "levels": [0.1, 0.3, 0.5, 0.7], "bands": 1 / 3}

PRESETS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "hyspecnet": [
        {"type": "gaussian", "sigma": 0.27},
        {"type": "stripe", "fraction": 0.4, "intensity": 0.5},
        {"type": "clip", "low": 0.0, "high": 1.0},
    ],
    "gaussian-30": [{"type": "gaussian", "sigma": 30 / 255}],
    "gaussian-50": [{"type": "gaussian", "sigma": 50 / 255}],
    "gaussian-70": [{"type": "gaussian", "sigma": 70 / 255}],
    "gaussian-blind": [{"type": "gaussian", "sigma": 10 / 255, "sigma_high": 70 / 255}],
    "noniid": [_NONIID],
    "mixed-1": [_NONIID],
    "mixed-2": [_NONIID, _STRIPE],
    "mixed-3": [_NONIID, _DEADLINE],
    "mixed-4": [_NONIID, _IMPULSE],
    "mixed-5": [_NONIID, _STRIPE, _DEADLINE, _IMPULSE],
}
