"""How the small versions of other systems are trained: `python -m diffae.train vqvae2-portraits` and the like.

preset.py says what a preset is; each other file has the losses of one system and its preset. The results ship in
`benchmarks/systems/pretrained/`.
"""
