"""Degradations: noise, blur and spectral response, synthesised from clean scenes."""
