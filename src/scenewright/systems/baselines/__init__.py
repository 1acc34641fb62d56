"""Baselines that every system is measured against."""
