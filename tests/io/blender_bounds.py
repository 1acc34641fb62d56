"""Run by Blender: imports the scene named last on the command line and prints the world box of every object."""

import json
import sys

import bpy
from mathutils import Vector

path = sys.argv[-1]
bpy.ops.wm.read_factory_settings(use_empty=True)
if path.endswith(".glb"):
    bpy.ops.import_scene.gltf(filepath=path)
elif "usd_import" not in dir(bpy.ops.wm):
    print("no USD")
    sys.exit()
else:
    bpy.ops.wm.usd_import(filepath=path, import_guide=False)
bpy.context.view_layer.update()
bounds: dict[str, list[list[float]]] = {}
for item in bpy.data.objects:
    if item.type == "MESH":
        corners = [item.matrix_world @ Vector(corner) for corner in item.bound_box]
        bounds[item.name] = [[op(corner[axis] for corner in corners) for axis in range(3)] for op in (min, max)]
print("bounds " + json.dumps(bounds))
