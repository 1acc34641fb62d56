"""Builds src/scenewright/data/held_out.npz from the furniture pack: `python scripts/build_held_out.py PACK.zip`."""

import csv
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

from scenewright.data import held_out
from scenewright.data.asset import Asset, canonical_parts, merged_geometry
from scenewright.data.fingerprint import fingerprint
from scenewright.data.model_files import read_model

TARGET = Path(held_out.__file__).with_name("held_out.npz")


def main(pack: str) -> None:
    archive = zipfile.ZipFile(pack)
    rows = list(csv.DictReader(io.StringIO(archive.read("index.csv").decode())))
    models = {}
    for row in rows:
        path = f"glb/{row['id']}.glb"
        content = archive.read(path)
        parts, _ = read_model(path, {path: content})
        asset = Asset(row["id"], row["name"], row["category"], canonical_parts(parts))
        models[row["id"]] = (row, asset, hashlib.sha256(content).hexdigest())
    held = [entry for entry in models.values() if entry[0]["split"] != "train"]
    registry = held_out.HeldOutRegistry(
        ids=tuple(row["id"] for row, _, _ in held),
        names=tuple(
            frozenset({held_out.simple_name(row[key]) for key in ("id", "raw_id", "name")} - {""}) for row, _, _ in held
        ),
        sizes_m=np.array([asset.size_m for _, asset, _ in held]),
        shapes=np.stack([fingerprint(*merged_geometry(asset.parts)).reshape(-1) for _, asset, _ in held]),
        hashes=frozenset(digest for _, _, digest in held),
        cleared=frozenset(),
    )
    cleared, refused = [], []
    for row, asset, digest in models.values():
        if row["split"] == "train":
            # The pack's own index already keeps near-duplicates together; only shapes need a second look.
            reason = registry._shape_reason(asset, np.array(asset.size_m))
            (refused if reason else cleared).append(digest)
            if reason:
                print(f"{row['id']}: {reason}")
    text = {
        "ids": registry.ids,
        "names": [sorted(names) for names in registry.names],
        "hashes": sorted(registry.hashes) + sorted(refused),
        "cleared": sorted(cleared),
    }
    np.savez_compressed(
        TARGET,
        shapes=np.packbits(registry.shapes, axis=1),
        sizes_m=registry.sizes_m.astype(np.float32),
        text=np.frombuffer(json.dumps(text).encode(), dtype=np.uint8),
    )
    print(f"{len(held)} held out, {len(cleared)} cleared, {len(refused)} refused, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
