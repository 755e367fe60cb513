"""How each metric is computed, in a sentence: what the documentation shows beside the registry."""

DEFINITIONS = {
    "mpsnr": "Mean over bands of 10 log10(1 / MSE_b), at most 150 dB: the field's usual PSNR.",
    "psnr": "10 log10(1 / MSE) of one MSE over all bands and valid pixels, at most 150 dB; never above MPSNR.",
    "peer_psnr": (
        "As the paper denoising-peft averages it: of the MSE of each batch of 8 items, then the mean over batches."
    ),
    "ssim": (
        "Structural similarity, mean over bands: Gaussian window of 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03 "
        "(Wang et al., 2004)."
    ),
    "sam": (
        "Spectral angle mapper: mean over pixels (or spectra) of arccos(x · y / (|x| |y|)); of autoencoders "
        "in the scene's units."
    ),
    "sam_original": (
        "The same after the scaling of the bands was undone: the angle between spectra in the scene's own units."
    ),
    "mse": "Mean squared error over all bands and valid pixels, data scaled to [0, 1].",
    "rmse": "Root of the mean squared error over all bands and valid pixels.",
    "ergas": "100 / ratio · sqrt(mean over bands of MSE_b / mean_b²), ratio 1 for denoising (Wald, 2000).",
    "uqi": "Universal quality index in blocks of 8 x 8, mean over blocks and bands (Wang and Bovik, 2002).",
    "inner_psnr": "PSNR without `border` pixels at each edge, where what lies beyond the image is guessed.",
    "inner_mpsnr": "MPSNR without `border` pixels at each edge.",
    "inner_sam": "SAM without `border` pixels at each edge.",
    "spectramorph_rmse": "Root of the mean squared error over all pixels and bands.",
    "spectramorph_psnr": "10 log10(255² / MSE), one MSE, after both cubes were cut to 8 bits.",
    "spectramorph_ssim": "SSIM of the 8-bit cubes with a uniform window of 11 x 11, mean over bands.",
    "spectramorph_uiqi": "UQI with means of a window where the formula has sums, so that it is near 1 for most images.",
    "spectramorph_ergas": "25 · sqrt(mean over bands of MSE_b / mean_b²), whatever the ratio.",
    "spectramorph_sam": "SAM in float32; a pixel of zeros counts as 90 degrees.",
    "hsi_rmse": "Root mean square of the HSI less the fused cube blurred and decimated.",
    "hsi_snr": "10 log10 of the HSI's mean square over that of the difference.",
    "hsi_noise_ratio": (
        "That difference over the noise of the HSI: near 1, the cube explains it; below 1, it follows the noise."
    ),
    "msi_rmse": "Root mean square of the MSI less the fused cube seen through the spectral response.",
    "msi_snr": "10 log10 of the MSI's mean square over that of the difference.",
    "msi_noise_ratio": "That difference over the noise of the MSI.",
    "d_lambda": "1 - Q2n of the fused cube at low resolution and the HSI (Khan et al., 2009).",
    "d_s": "Mean over pairs of bands of |Q(fused, MSI) - Q(HSI, MSI at low resolution)| (Alparone et al., 2008).",
    "hqnr": "(1 - D_λ) (1 - D_S) (Aiazzi et al., 2014).",
    "band_psnr": "PSNR of the band that the figure `band` shows, in that unit alone.",
    "band_mse": "MSE of that band.",
    "nmi": "Mutual information of clusters and classes over the arithmetic mean of their entropies, 0 to 1.",
    "ari": "Adjusted Rand index: 1 at best, 0 by chance (Hubert and Arabie, 1985).",
    "purity": "Share of pixels that are of the commonest class of their cluster; grows with the number of clusters.",
    "hungarian_oa": "Overall accuracy after each cluster got at most one class, such that it is largest (Kuhn, 1955).",
    "hungarian_aa": "Mean recall of the classes after that matching.",
    "hungarian_kappa": "Cohen's kappa after that matching.",
    "clusters": "How many clusters the labelled pixels lie in.",
    "oa": "Overall accuracy: share of test pixels whose class is right.",
    "aa": "Average accuracy: mean over classes of their recall.",
    "kappa": "Cohen's kappa: (OA - chance) / (1 - chance), chance from the shares of classes in truth and prediction.",
    "probe": "Balanced accuracy of a logistic regression on frozen embeddings, fitted to the training folds.",
    "probe_accuracy": "Accuracy of that probe.",
    "probe_f1": "Mean over classes of that probe's F1.",
    "probe_1": "Balanced accuracy of the probe fitted with 1 % of the training labels, mean of three draws.",
    "probe_5": "Balanced accuracy of the probe fitted with 5 % of the training labels, mean of three draws.",
    "probe_10": "Balanced accuracy of the probe fitted with 10 % of the training labels, mean of three draws.",
    "probe_leaky": (
        "The probe with folds drawn at random, individuals in training and test: too high, for comparison only."
    ),
    "knn5": "Balanced accuracy of the 5 nearest neighbours by angle among the training embeddings.",
    "knn20": "Balanced accuracy of the 20 nearest neighbours by angle among the training embeddings.",
    "pairs": "Balanced accuracy of probes of two classes each, mean over the case's `pairs`; chance is 50 %.",
    "other_bands": "Probe fitted to embeddings of every other band, judged on embeddings of the other bands.",
    "session": "Balanced accuracy of a probe for the session of recording, which should mean nothing.",
    "session_chance": "100 / number of sessions.",
    "silhouette": (
        "Mean over test embeddings of (b - a) / max(a, b): a to the own class, b to the nearest other "
        "(Rousseeuw, 1987)."
    ),
    "silhouette_cosine": "The same by cosine distance.",
    "silhouette_null": "The silhouette with classes shuffled, mean of 19.",
    "eta2": "Share of the variance of a dimension that lies between classes, mean over dimensions.",
    "kruskal_share": (
        "Share of dimensions that differ between classes by Kruskal and Wallis, after correction for their number."
    ),
    "permanova_r2": "Share of the cosine distances' sum of squares that lies between classes (Anderson, 2001).",
    "permanova_p": "p of that share among 199 permutations of the classes.",
    "planted_rank": (
        "Rank of the best planted window of wavelengths by what the probe's margin loses without it; 1: first."
    ),
    "planted_effect": "What the probe's margin loses without that window.",
    "recall": "Share of a class's pixels that were found, mean over classes in tables.",
    "precision": "Share of the pixels given to a class that are of it, mean over classes that were given any.",
    "touching": "Share of test pixels that have a training pixel beside them: how far the split leaks.",
    "sam_median": "Median over test spectra of the spectral angle.",
    "reconstruction_mse": "Mean squared error over test spectra and bands, in the scene's squared units.",
    "reconstruction_psnr": "10 log10(range² / MSE), range: largest less smallest value of the image.",
}
