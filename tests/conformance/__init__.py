"""Runs golden files (tensors computed by the published implementations) against our modules."""
