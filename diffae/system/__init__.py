"""Files, command lines, errors, settings, locks and processes: what every package uses. Nothing here imports PyTorch at once."""
