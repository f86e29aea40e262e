"""What several families of systems need: reading files, codebooks, inversion, training of the small versions."""
