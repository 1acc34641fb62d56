"""Where published weights live and how they are fetched, verified and loaded strictly.

record.py (the facts) -> hub.py (find or fetch the file) -> checkpoint.py (open it) -> keymap.py (rename) -> load.py
(fill a module). config.py turns published JSON into configuration dataclasses.
"""
