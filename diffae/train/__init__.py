"""Training, from a preset and images to a checkpoint.

What they share        types.py (schedule, steps, run, outcome, callback)
What is trained        presets.py (all settings), preset_registry.py (presets of other systems), overrides.py (--set), chain.py (--stages), init.py (--init)
How a model is trained stages.py (encoder, autoencoder, latent DDIM, baseline: their losses, one after the other)
How a network is       trainer.py (a step, the loop, precision), sharing.py (processes and parts), state.py (on disk)
From what              images.py (reading ahead, damaged images)
What is said of it     note.py (training.json), callbacks/ (bar, curves, sheets, evaluations)
What it would take     dry_run.py, presets_table.py (`diffae-bench docs presets`)
The command            __main__.py
"""
