"""Faults planted in copies of a tree, to test its tests."""
