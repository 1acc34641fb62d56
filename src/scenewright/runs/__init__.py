"""Runs: from files to scenes, whole or not at all, with a manifest that makes the same bytes again."""
