"""Training, from a preset and images to a checkpoint.

Shared types           types.py (schedule, steps, outcome, stage)
Settings               presets.py (all settings, and --set), init.py (--init)
Training of a model    stages.py (encoder, autoencoder, latent DDIM, baseline: their losses, one after the other)
Training of a network  trainer.py (the loop, precision), step.py (a step), sharing.py (processes and parts), state.py (on disk)
Data                   images.py (reading ahead)
Records                note.py (training.json), callbacks/ (curves, sheets, evaluations)
Hours                  dry_run.py
The command            __main__.py
"""
