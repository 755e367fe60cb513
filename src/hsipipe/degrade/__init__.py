"""Degradations: noise, blur and spectral response, synthesised from clean scenes.

What enters is a clean cube and a specification (`gaussian:sigma=0.1`, a PSF, a sensor); what leaves is what a sensor
would have measured, drawn from a generator that the caller seeds. Begin with `noise` for denoising and with `pair` for
fusion; the kinds of noise are in `noise_components`, those of blur in `psf`, those of response in `response`.
"""
