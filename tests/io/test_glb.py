import base64
import contextlib
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.io.glb import glb_bytes, load_glb, parse_glb, save_glb
from scenewright.types import Mesh, Opening, OrientedBox, PanoramaCamera, PBRMaterial, Room, Scene, SceneObject
from tests.io.scenes import gaussians, picture, placed, rich_scene, tetrahedron
from tests.support.rotations import transform_points


def document_of(content: bytes) -> dict:
    return json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])


def gltf(document: dict) -> bytes:
    return json.dumps(document).encode()


def triangle_document(**changes) -> dict:
    """A hand-written glTF of one triangle in a data URI; `changes` replace top-level entries."""
    positions = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "triangle"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [
            {"byteLength": 36, "uri": "data:application/octet-stream;base64," + base64.b64encode(positions).decode()}
        ],
    }
    return document | changes


def assert_same_mesh(actual: Mesh, expected: Mesh) -> None:
    assert torch.equal(actual.vertices, expected.vertices)
    assert torch.equal(actual.faces, expected.faces)
    for name in ("vertex_normals", "vertex_colors", "uv"):
        mine, theirs = getattr(actual, name), getattr(expected, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)


def assert_same_material(actual: PBRMaterial | None, expected: PBRMaterial | None) -> None:
    assert (actual is None) == (expected is None)
    if actual is None or expected is None:
        return
    for name in ("base_color_texture", "metallic_roughness_texture", "normal_texture"):
        mine, theirs = getattr(actual, name), getattr(expected, name)
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)
    bare = {"base_color_texture": None, "metallic_roughness_texture": None, "normal_texture": None}
    # A cut-off means something in MASK mode only, and only there is it written.
    if expected.alpha_mode != "MASK":
        bare["alpha_cutoff"] = 0.5
    assert replace(actual, **bare) == replace(expected, **bare)


def test_everything_survives_a_round_trip(tmp_path):
    scene = rich_scene()
    loaded = load_glb(save_glb(scene, tmp_path / "scene.glb"))
    assert [o.name for o in loaded.objects] == ["table", "lamp"]
    for mine, theirs in zip(loaded.objects, scene.objects, strict=True):
        torch.testing.assert_close(mine.world_from_object, theirs.world_from_object, atol=1e-6, rtol=1e-6)
        assert mine.confidence == theirs.confidence
        assert dict(mine.extras) == dict(theirs.extras)
        for part, original in zip(mine.parts, theirs.parts, strict=True):
            assert_same_mesh(part, original)
            assert_same_material(part.material, original.material)
    assert loaded.is_metric
    assert loaded.provenance == {"system": "test", "seed": 7}
    assert loaded.camera is not None
    torch.testing.assert_close(loaded.camera.intrinsics_px, scene.camera.intrinsics_px)
    torch.testing.assert_close(loaded.camera.cam_from_world, scene.camera.cam_from_world)
    assert (loaded.camera.width, loaded.camera.height) == (640, 480)


def test_what_is_known_of_room_objects_and_cameras_survives_a_round_trip():
    table, lamp = rich_scene().objects
    box = OrientedBox((1.0, 2.0, 3.0), (0.5, 0.25, 1.0), 0.7)
    polygon = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])
    perspective = rich_scene().camera
    assert perspective is not None
    scene = replace(
        rich_scene(),
        objects=(replace(table, role="furniture", category="table", box=box), lamp),
        cameras={"all around": PanoramaCamera(perspective.cam_from_world, 1024, 512), "left": perspective},
        room=Room(polygon, 2.5, (Opening("window", 1, 0.5, 1.5, 0.9, 2.1),)),
        world_from_system=placed(0.3, [1.0, 2.0, 0.0], 2.0),
        notes=("The lamp is a guess.",),
    )
    loaded = parse_glb(glb_bytes(scene))
    first, second = loaded.objects
    assert (first.role, first.category, second.role, second.category) == ("furniture", "table", "object", None)
    assert first.box == box
    assert loaded.room is not None
    assert torch.equal(loaded.room.floor_polygon, polygon)
    assert (loaded.room.height, loaded.room.openings) == (2.5, scene.room.openings)
    assert loaded.notes == scene.notes
    assert torch.equal(loaded.world_from_system.float(), scene.world_from_system)
    assert list(loaded.cameras) == ["all around", "left"]
    panorama = loaded.cameras["all around"]
    assert isinstance(panorama, PanoramaCamera)
    assert (panorama.width, panorama.height) == (1024, 512)
    torch.testing.assert_close(panorama.cam_from_world, perspective.cam_from_world)
    assert loaded.camera is loaded.cameras["left"]
    assert glb_bytes(loaded) == glb_bytes(scene)


@pytest.mark.parametrize(
    "facts",
    [{"room": {"floor_polygon": [[0, "a"]], "height": 2, "openings": []}}, {"room": 3}, {"provenance": {"notes": 7}}],
)
def test_strange_facts_of_a_file_are_left_out(facts):
    document = triangle_document()
    document["asset"] = {"version": "2.0", "extras": {"scenewright": facts}}
    document["nodes"][0]["extras"] = {"scenewright": {"role": "king", "box": {"center": [1]}, "category": 5}}
    loaded = parse_glb(gltf(document))
    assert (loaded.room, loaded.notes, loaded.world_from_system) == (None, (), None)
    assert (loaded.objects[0].role, loaded.objects[0].box, loaded.objects[0].category) == ("object", None, None)


def test_the_same_scene_gives_the_same_bytes():
    assert glb_bytes(rich_scene()) == glb_bytes(rich_scene())


def test_reading_and_writing_again_changes_no_byte():
    content = glb_bytes(rich_scene())
    assert glb_bytes(parse_glb(content)) == content


def test_files_are_y_up_and_front_is_plus_z():
    """Our up is +z and our front -y; in the file these are +y and +z."""
    corners = torch.tensor([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    content = glb_bytes(Scene((SceneObject("a", (Mesh(corners, torch.tensor([[0, 1, 2]])),)),)))
    start = 20 + struct.unpack_from("<I", content, 12)[0] + 8
    stored = np.frombuffer(content, "<f4", 9, start).reshape(3, 3)
    assert stored.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_placement_is_translation_rotation_scale_in_the_file_frame():
    placement = placed(np.pi / 2, [1.0, 2.0, 3.0], 2.0)
    node = document_of(glb_bytes(Scene((SceneObject("a", (tetrahedron(),), world_from_object=placement),))))["nodes"][0]
    assert node["translation"] == pytest.approx([1, 3, -2])
    assert node["rotation"] == pytest.approx([0, np.sqrt(0.5), 0, np.sqrt(0.5)])
    assert node["scale"] == pytest.approx([2, 2, 2])


def test_world_positions_survive_what_a_similarity_cannot_say():
    """Uneven scale and mirroring in someone else's file are baked into vertices, with outward faces kept outward."""
    document = triangle_document(nodes=[{"mesh": 0, "scale": [-2, 3, 1], "translation": [0, 0, 5]}])
    loaded = parse_glb(gltf(document)).objects[0]
    world = transform_points(loaded.world_from_object, loaded.parts[0].vertices)
    assert world[loaded.parts[0].faces[0]].tolist() == [[0, -5, 3], [-2, -5, 0], [0, -5, 0]]


def test_parents_place_their_children():
    document = triangle_document(
        nodes=[
            {"children": [1], "translation": [1, 0, 0]},
            {"children": [2], "scale": [2, 2, 2]},
            {"mesh": 0, "translation": [0, 1, 0]},
        ]
    )
    loaded = parse_glb(gltf(document)).objects[0]
    assert loaded.world_from_object[:3, 3].tolist() == [1, 0, 2]
    assert loaded.world_from_object[0, 0] == 2


def test_textures_are_stored_once():
    uv = torch.zeros(4, 2)
    texture = picture(4, 4, 3)
    parts = tuple(tetrahedron(uv=uv, material=PBRMaterial(base_color_texture=texture.clone())) for _ in range(3))
    assert len(document_of(glb_bytes(Scene((SceneObject("a", parts),))))["images"]) == 1


def test_normal_maps_get_tangents_across_normals_towards_u():
    uv = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    square = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    material = PBRMaterial(normal_texture=picture(2, 2, 3))
    mesh = Mesh(square, torch.tensor([[0, 1, 2], [1, 3, 2]]), uv=uv, material=material)
    content = glb_bytes(Scene((SceneObject("a", (mesh,)),)))
    document = document_of(content)
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["TANGENT"]]
    start = (
        20
        + struct.unpack_from("<I", content, 12)[0]
        + 8
        + document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    )
    tangents = np.frombuffer(content, "<f4", 16, start).reshape(4, 4)
    # u grows along x; v grows towards the picture's bottom, so the bitangent (its top) is our +y: right-handed, +1.
    assert tangents.tolist() == [[1, 0, 0, 1]] * 4


def test_meshes_of_65535_and_65536_vertices():
    for count in (65_535, 65_536):
        vertices = torch.rand(count, 3)
        faces = torch.arange(count // 3 * 3).reshape(-1, 3)
        faces[-1, -1] = count - 1
        loaded = parse_glb(glb_bytes(Scene((SceneObject("a", (Mesh(vertices, faces),)),))))
        assert torch.equal(loaded.objects[0].parts[0].faces, faces)


def test_empty_scenes_and_empty_objects():
    assert parse_glb(glb_bytes(Scene(()))).objects == ()
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert "meshes" not in document_of(glb_bytes(Scene((SceneObject("a", (empty,)),))))


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(InputError, match=r"'cloud' is made of splats.*\.ply"):
        save_glb(Scene((SceneObject("cloud", splats=gaussians(2)),)), tmp_path / "a.glb")
    broken = replace(tetrahedron(), vertices=torch.full((4, 3), torch.nan))
    with pytest.raises(InputError, match="not finite"):
        save_glb(Scene((SceneObject("a", (broken,)),)), tmp_path / "a.glb")
    with pytest.raises(InputError, match="not plain JSON data"):
        save_glb(Scene((SceneObject("a", extras={"x": object()}),)), tmp_path / "a.glb")
    with pytest.raises(InputError, match="vertices it does not have"):
        save_glb(
            Scene((SceneObject("a", (replace(tetrahedron(), faces=torch.tensor([[0, 1, 9]])),)),)), tmp_path / "a.glb"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("component", "values", "dtype"), [(5121, [0, 255, 51], "<u1"), (5123, [0, 65535, 13107], "<u2")]
)
def test_normalised_colours(component, values, dtype):
    packed = np.zeros((3, 4), dtype)
    packed[:, 0] = values
    packed[:, 3] = values[1]
    document = triangle_document()
    document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 1
    document["accessors"].append(
        {"bufferView": 1, "componentType": component, "count": 3, "type": "VEC4", "normalized": True}
    )
    document["bufferViews"].append({"buffer": 1, "byteLength": packed.nbytes})
    uri = "data:;base64," + base64.b64encode(packed.tobytes()).decode()
    document["buffers"].append({"byteLength": packed.nbytes, "uri": uri})
    colors = parse_glb(gltf(document)).objects[0].parts[0].vertex_colors
    assert colors[:, 0].tolist() == pytest.approx([0, 1, 0.2])
    assert colors[:, 3].tolist() == [1, 1, 1]


def test_a_foreign_camera_is_read_from_its_field_of_view():
    document = triangle_document(
        cameras=[{"type": "perspective", "perspective": {"yfov": np.pi / 2, "aspectRatio": 2.0, "znear": 0.1}}],
        nodes=[{"mesh": 0}, {"camera": 0, "translation": [0, 0, 3]}],
        scenes=[{"nodes": [0, 1]}],
    )
    camera = parse_glb(gltf(document)).camera
    assert (camera.width, camera.height) == (2048, 1024)
    assert camera.intrinsics_px[0, 0] == pytest.approx(512, rel=1e-5)
    # It stands at -3 along our y and looks along +y: the origin is 3 in front of it.
    assert (camera.cam_from_world @ torch.tensor([0.0, 0.0, 0.0, 1.0])).tolist() == pytest.approx([0, 0, 3, 1])


BAD_DOCUMENTS = {
    "accessor reaches beyond": triangle_document(
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}]
    ),
    "view reaches beyond": triangle_document(bufferViews=[{"buffer": 0, "byteLength": 37}]),
    "huge count": triangle_document(
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 10**12, "type": "VEC3"}]
    ),
    "negative offset": triangle_document(
        accessors=[{"bufferView": 0, "byteOffset": -12, "componentType": 5126, "count": 3, "type": "VEC3"}]
    ),
    "sparse": triangle_document(
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "sparse": {}}]
    ),
    "no data": triangle_document(accessors=[{"componentType": 5126, "count": 10**9, "type": "VEC3"}]),
    "overlapping stride": triangle_document(bufferViews=[{"buffer": 0, "byteLength": 36, "byteStride": 0}]),
    "cycle": triangle_document(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}]),
    "self child": triangle_document(nodes=[{"mesh": 0, "children": [0]}]),
    "missing node": triangle_document(scenes=[{"nodes": [7]}]),
    "boolean index": triangle_document(nodes=[{"mesh": False}]),
    "no such mesh": triangle_document(nodes=[{"mesh": 1}]),
    "short matrix": triangle_document(nodes=[{"mesh": 0, "matrix": [1, 2, 3]}]),
    "text in a matrix": triangle_document(nodes=[{"mesh": 0, "translation": ["1", 2, 3]}]),
    "zero rotation": triangle_document(nodes=[{"mesh": 0, "rotation": [0, 0, 0, 0]}]),
    "indices out of range": triangle_document(
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        accessors=[
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 0, "byteOffset": 12, "componentType": 5125, "count": 3, "type": "SCALAR"},
        ],
    ),
    "unknown extension": triangle_document(extensionsRequired=["EXT_of_nobody"]),
    "no Draco mesh": triangle_document(
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "extensions": {"KHR_draco_mesh_compression": {}}}]}]
    ),
    "texture transform": triangle_document(
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        materials=[
            {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "extensions": {"KHR_texture_transform": {}}}}}
        ],
    ),
    "version 1": triangle_document(asset={"version": "1.0"}),
    "path out of the folder": triangle_document(buffers=[{"byteLength": 36, "uri": "../secret.bin"}]),
    "absolute path": triangle_document(buffers=[{"byteLength": 36, "uri": "/etc/passwd"}]),
    "encoded path": triangle_document(buffers=[{"byteLength": 36, "uri": "%2e%2e/secret.bin"}]),
    "network": triangle_document(buffers=[{"byteLength": 36, "uri": "http://example.org/a.bin"}]),
    "bad base64": triangle_document(buffers=[{"byteLength": 36, "uri": "data:;base64,@@@@"}]),
    "short buffer": triangle_document(buffers=[{"byteLength": 36, "uri": "data:;base64,AAAA"}]),
    "nodes is a number": triangle_document(nodes=3),
    "primitives is text": triangle_document(meshes=[{"primitives": "abc"}]),
    "a primitive is a list": triangle_document(meshes=[{"primitives": [[4340]]}]),
    "Draco mesh is a list": triangle_document(
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "extensions": {"KHR_draco_mesh_compression": [1]}}]}]
    ),
    "array": [],
}


@pytest.mark.parametrize("document", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
def test_bad_documents_give_one_sentence(tmp_path, document):
    (tmp_path / "secret.bin").write_bytes(bytes(36))
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "bad.gltf").write_bytes(gltf(document))
    with pytest.raises(InputError, match=r"^Cannot read '.*bad\.gltf': .*\.$") as caught:
        load_glb(folder / "bad.gltf")
    assert "\n" not in str(caught.value)


def test_files_beside_a_gltf_are_read_but_links_out_of_the_folder_are_not(tmp_path):
    folder = tmp_path / "scene"
    folder.mkdir()
    data = base64.b64decode(triangle_document()["buffers"][0]["uri"].partition(",")[2])
    (folder / "data one.bin").write_bytes(data)
    document = triangle_document(buffers=[{"byteLength": 36, "uri": "data%20one.bin"}])
    (folder / "a.gltf").write_bytes(gltf(document))
    assert len(load_glb(folder / "a.gltf").objects[0].parts[0].vertices) == 3
    (tmp_path / "outside.bin").write_bytes(data)
    (folder / "data one.bin").unlink()
    (folder / "data one.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(InputError, match="outside its own folder"):
        load_glb(folder / "a.gltf")


def test_missing_empty_and_truncated_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_glb(tmp_path / "none.glb")
    (tmp_path / "empty.glb").touch()
    with pytest.raises(InputError, match="is empty"):
        load_glb(tmp_path / "empty.glb")
    content = glb_bytes(rich_scene())
    for length in (3, 11, 19, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.glb").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"Cannot read '.*cut\.glb'"):
            load_glb(tmp_path / "cut.glb")


def test_a_deep_chain_of_nodes_is_no_problem_and_too_many_are_refused():
    chain = [{"children": [i + 1]} for i in range(20_000)] + [{"mesh": 0}]
    assert len(parse_glb(gltf(triangle_document(nodes=chain))).objects) == 1
    with pytest.raises(InputError, match="100,000 nodes"):
        parse_glb(gltf(triangle_document(nodes=[{}] * 100_001)))


def test_nested_json_does_not_overflow_the_stack():
    with pytest.raises(InputError, match="neither GLB nor glTF JSON"):
        parse_glb(b"[" * 200_000)


floats = st.floats(-100, 100, width=32)


@settings(max_examples=40, deadline=None)
@given(
    vertices=st.lists(st.tuples(floats, floats, floats), min_size=3, max_size=12),
    yaw=st.floats(-3, 3),
    scale=st.floats(0.01, 100),
    translation=st.tuples(floats, floats, floats),
    name=st.text(max_size=12).filter(lambda text: text.isprintable()),
    data=st.data(),
)
def test_any_mesh_and_placement_survives(vertices, yaw, scale, translation, name, data):
    indices = st.integers(0, len(vertices) - 1)
    faces = data.draw(st.lists(st.tuples(indices, indices, indices), min_size=1, max_size=8))
    mesh = Mesh(torch.tensor(vertices), torch.tensor(faces))
    placement = placed(yaw, list(translation), scale)
    loaded = parse_glb(glb_bytes(Scene((SceneObject(name, (mesh,), world_from_object=placement),)))).objects[0]
    assert_same_mesh(loaded.parts[0], mesh)
    assert loaded.name == (name or "object_00")
    torch.testing.assert_close(loaded.world_from_object, placement, atol=1e-5 * scale, rtol=1e-5)


SEED = glb_bytes(rich_scene())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_fuzzed_bytes_only_raise_input_errors(data):
    content = bytearray(SEED)
    text_end = 20 + struct.unpack_from("<I", content, 12)[0]
    for _ in range(data.draw(st.integers(1, 6))):
        # Mostly in the header and the JSON, where the structure is.
        end = text_end if data.draw(st.booleans()) else len(content)
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.sampled_from([*b'0123456789-.e[]{}",:', 0, 255]))
    with contextlib.suppress(InputError):
        parse_glb(bytes(content))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_fuzzed_structure_only_raises_input_errors(data):
    document = document_of(SEED)
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while isinstance(place, (dict, list)) and place:
            key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
            if not isinstance(place[key], (dict, list)) or data.draw(st.integers(0, 3)) == 0:
                place[key] = data.draw(json_values)
                break
            place = place[key]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = SEED[20 + struct.unpack_from("<I", SEED, 12)[0] :]
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + binary
    with contextlib.suppress(InputError):
        parse_glb(struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body)


@pytest.mark.parametrize("side", [4, 8])
def test_occlusion_shares_the_picture_of_roughness_and_metal_where_both_are_of_one_size(tmp_path, side):
    material = PBRMaterial(
        metallic_roughness_texture=picture(4, 4, 3), occlusion_texture=picture(side, side, 1, seed=1)
    )
    scene = Scene((SceneObject("a", (tetrahedron(uv=torch.rand(4, 2), material=material),)),))
    path = save_glb(scene, tmp_path / "scene.glb")
    assert len(document_of(path.read_bytes())["images"]) == (1 if side == 4 else 2)
    (part,) = load_glb(path).objects[0].parts
    assert torch.equal(part.material.occlusion_texture, material.occlusion_texture)
    kept = part.material.metallic_roughness_texture
    assert torch.equal(kept[..., 1:], material.metallic_roughness_texture[..., 1:])


def test_the_strength_of_occlusion_is_in_its_texture(tmp_path):
    material = PBRMaterial(occlusion_texture=torch.tensor([[[0], [100]]], dtype=torch.uint8))
    scene = Scene((SceneObject("a", (tetrahedron(uv=torch.rand(4, 2), material=material),)),))
    content = glb_bytes(scene)
    document = document_of(content)
    binary = content[28 + struct.unpack_from("<I", content, 12)[0] :]
    document["materials"][0]["occlusionTexture"]["strength"] = 0.5
    document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    path = tmp_path / "scene.gltf"
    path.write_bytes(gltf(document))
    (part,) = load_glb(path).objects[0].parts
    assert part.material.occlusion_texture.tolist() == [[[128], [178]]]


def of_version(**asset: object) -> bytes:
    return json.dumps({"asset": asset, "scenes": [{"nodes": []}]}).encode()


@pytest.mark.parametrize("least", ["2.1", "3.0", 2.1, "x"])
def test_a_file_that_needs_a_newer_reader_is_refused(least):
    with pytest.raises(InputError, match=rf"needs a reader of glTF {least!r}; version 2\.0 is supported"):
        parse_glb(of_version(version="2.0", minVersion=least))


@pytest.mark.parametrize("asset", [{"version": "2.1", "minVersion": "2.0"}, {"version": "2"}, {"version": 2}])
def test_versions_that_can_be_read(asset):
    assert parse_glb(of_version(**asset)).objects == ()
