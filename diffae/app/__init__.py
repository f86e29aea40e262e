"""A small page on this machine: drop a picture, move sliders, see what comes back (`python -m
diffae.app`).
"""
