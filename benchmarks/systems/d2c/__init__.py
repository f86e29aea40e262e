"""D2C (Sinha et al., 2021)."""
