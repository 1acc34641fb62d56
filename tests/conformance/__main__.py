"""`python -m tests.conformance DIR [--module NAME]`: one line per golden case, then `N passed, M failed`."""

import argparse
import sys
from pathlib import Path

import torch

from tests.conformance.runner import golden_files, run_case


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of golden files, searched recursively")
    parser.add_argument("--module", help="run only the cases of this module name")
    parser.add_argument("--device", default="cpu", help="make modules and tensors there")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"), help="of products")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"'{arguments.folder}' is not a folder; give the folder that holds the golden files.")
    results = []
    for path in golden_files(arguments.folder, arguments.module):
        results.append(run_case(path, arguments.device, getattr(torch, arguments.dtype)))
        print(results[-1], flush=True)
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
