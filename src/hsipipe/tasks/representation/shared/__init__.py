"""What the encoders of representation have in common: stems, backbones, heads, losses, normalisation.

Begin with `network`, an encoder with its normalisation, and `encoder`, which builds it: `stems` and `adapter` take many
bands in, `backbones` do the rest. Losses: `combined`, of `contrastive` and `local_loss`.
"""
