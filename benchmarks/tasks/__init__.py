"""The benchmarks, one file each. None knows another; what several need is in `shared`."""
