"""Fuzzing of every reader: seeds made by script, mutations of bytes and of structure, limits of memory and time.

    uv run python -m tests.fuzz --inputs 40000          # all readers, a table of what came of it
    uv run python -m tests.fuzz --target glb --seed 7   # one of them
    uv run python -m tests.fuzz --known FOLDER          # and the files of a folder that once broke something

The suite runs a short part of it (`test_fuzz.py`).
"""
