"""COCO's encodings, decoded by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenewright.encoders.masks import load_masks
from scenewright.encoders.masks.coco import decode_counts, encode_counts, polygons_mask, run_length_mask
from scenewright.encoders.masks.object_masks import resized_nearest
from scenewright.errors import InputError


def rows(mask: np.ndarray) -> list[str]:
    return ["".join("#" if value else "." for value in row) for row in mask]


def coco(path: Path, annotations: list[dict], **more: object) -> Path:
    path.write_text(json.dumps({"annotations": annotations, **more}))
    return path


def test_runs_go_down_the_columns_from_background() -> None:
    assert rows(run_length_mask([1, 2, 3, 1, 2], 3, 3)) == ["..#", "#..", "#.."]
    assert rows(run_length_mask([0, 4], 2, 2)) == ["##", "##"]


def test_runs_must_cover_the_picture() -> None:
    with pytest.raises(ValueError, match="cover 8 pixels instead of 3x3"):
        run_length_mask([4, 4], 3, 3)


def test_counts_by_hand() -> None:
    # 4, 1, 4 are single characters (48 + value). 100 = 3 * 32 + 4: '4' + 32 = 'T', then '3'.
    # The fourth count, 7, is stored as 7 - 100 = -93 = -3 * 32 + 3: 'S' (48 + 32 + 3), then -3 in five bits, 29: 'M'.
    assert decode_counts("414") == [4, 1, 4]
    assert decode_counts("5T33SM") == [5, 100, 3, 7]
    assert encode_counts([5, 100, 3, 7]) == "5T33SM"


@given(st.lists(st.integers(0, 1 << 24), max_size=20))
def test_counts_round_trip(counts: list[int]) -> None:
    assert decode_counts(encode_counts(counts)) == counts


@pytest.mark.parametrize(("text", "message"), [("4T", "end within"), ("4\x10", "character")])
def test_damaged_counts(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_counts(text)


def test_polygon_by_pixel_centres() -> None:
    assert rows(polygons_mask([[1.0, 1, 4, 1, 4, 3, 1, 3]], 4, 5)) == [".....", ".###.", ".###.", "....."]
    # Corners at pixel centres: a centre on the left or upper edge is in, on the right or lower edge out.
    assert rows(polygons_mask([[0.5, 0.5, 2.5, 0.5, 2.5, 2.5, 0.5, 2.5]], 3, 3)) == ["##.", "##.", "..."]
    # A triangle reaching outside the picture is clipped.
    assert rows(polygons_mask([[-2, -2, 6, -2, -2, 6]], 3, 3)) == ["###", "##.", "#.."]


def test_polygon_crossing_itself_is_even_odd() -> None:
    bow_tie = polygons_mask([[0, 0, 8, 8, 8, 0, 0, 8]], 8, 8)
    assert not bow_tie[0, 3]
    assert bow_tie[4, 1]
    assert bow_tie[4, 6]


def test_polygons_of_an_annotation_are_united_and_named(tmp_path: Path) -> None:
    polygons = [[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 6, 2, 6, 6, 2, 6]]
    path = coco(
        tmp_path / "a.json",
        [
            {"id": 7, "category_id": 3, "segmentation": polygons},
            {"category_id": 3, "segmentation": [[0, 6, 2, 6, 2, 8]]},
        ],
        categories=[{"id": 3, "name": "chair"}],
    )
    masks = load_masks(path, (8, 8))
    assert masks.names == ("chair", "chair_2")
    assert int(masks.masks[0].sum()) == 16 + 16 - 4


def test_annotations_of_the_named_picture(tmp_path: Path) -> None:
    pictures = [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 4} for i in (1, 2)]
    annotations = [
        {"image_id": 1, "segmentation": {"size": [4, 4], "counts": [0, 8, 8]}},
        {"image_id": 2, "segmentation": {"size": [4, 4], "counts": "0d0<"}},
    ]
    path = coco(tmp_path / "a.json", annotations[:1] * 2 + annotations[1:], images=pictures)
    with pytest.raises(InputError, match="annotates 2 pictures and the one meant was found 2 times"):
        load_masks(path, (4, 4))
    masks = load_masks(path, (4, 4), image_name="/photos/1.jpg")
    assert rows(masks.masks[0].numpy()) == ["##.."] * 4
    assert any("same as 'object'" in warning for warning in masks.warnings)


def test_whole_numbers_may_be_written_as_fractions(tmp_path: Path) -> None:
    """As tables export them."""
    pictures = [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 4} for i in (1, 2)]
    runs = {"size": [4, 4], "counts": [0, 8, 8]}
    annotations = [{"image_id": 1.0, "category_id": 7.0, "segmentation": runs}]
    path = coco(tmp_path / "a.json", annotations, images=pictures, categories=[{"id": 7, "name": "sofa"}])
    assert load_masks(path, (4, 4), image_name="1.jpg").names == ("sofa",)


def test_sizes_of_the_file_are_respected_and_resized(tmp_path: Path) -> None:
    pictures = [{"id": 1, "file_name": "1.jpg", "height": 10, "width": 20}]
    path = coco(tmp_path / "a.json", [{"image_id": 1, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}], images=pictures)
    masks = load_masks(path, (20, 40))
    assert masks.masks[0, :, :20].all()
    assert not masks.masks[0, :, 20:].any()
    assert "had 20x10 pixels for a picture of 40x20" in masks.warnings[0]


def union_by_hand(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Crossing numbers of each pixel's centre, pixel by pixel."""
    mask = np.zeros((height, width), bool)
    for polygon in polygons:
        for row, column in np.ndindex(height, width):
            inside, (x, y) = False, (column + 0.5, row + 0.5)
            for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                    inside = not inside
            mask[row, column] |= inside
    return mask


@pytest.mark.parametrize("seed", range(4))
def test_unions_of_random_polygons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-4, 16, (int(rng.integers(3, 9)), 2)).round(seed % 2) for _ in range(4)]
    mask = polygons_mask([polygon.reshape(-1).tolist() for polygon in polygons], 9, 13)
    assert (mask == union_by_hand(polygons, 9, 13)).all()


def test_runs_are_read_at_the_size_of_the_picture() -> None:
    runs = [3, 5, 7, 11, 22]
    whole = run_length_mask(runs, 6, 8)
    assert (run_length_mask(runs, 6, 8, (4, 4)) == resized_nearest(whole, (4, 4))).all()


def test_files_that_claim_more_than_their_picture_cost_no_more(tmp_path: Path) -> None:
    large = {"size": [11585, 11585], "counts": [0, 11585**2]}
    many = [[0, 0, 4000, 0, 4000, 4000, 0, 4000.0 - number] for number in range(300)]
    masks = load_masks(coco(tmp_path / "a.json", [{"segmentation": large}] * 20), (32, 40))
    assert masks.masks.shape == (1, 32, 40)
    assert load_masks(coco(tmp_path / "b.json", [{"segmentation": many}]), (4000, 4000)).masks.all()
    rng = np.random.default_rng(0)
    star = [rng.uniform(0, 4000, 40_000).round(1).tolist()]
    with pytest.raises(InputError, match="steps of work"):
        load_masks(coco(tmp_path / "c.json", [{"segmentation": star}]), (4000, 4000))


def test_polygons_without_area_and_other_tools_habits(tmp_path: Path) -> None:
    pictures = [{"id": str(i), "file_name": f"C:\\data\\{i}.jpg", "height": 4, "width": 4} for i in (1, 2)]
    annotations = [
        {"image_id": 1, "segmentation": [[0, 0, 1, 1]]},
        {"image_id": 1, "segmentation": [[]]},
        {"image_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4]]},
    ]
    path = coco(tmp_path / "a.json", annotations, images=pictures)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_masks(path, (4, 4), image_name="1.jpg")) == 1


def test_broken_annotations_are_dropped_by_name_and_the_others_kept(tmp_path: Path) -> None:
    whole = {"id": 3, "segmentation": [[0, 0, 4, 0, 4, 4]]}
    broken = [
        {"id": 4, "segmentation": [[0, 0, 1, 1]]},
        {"id": 5, "segmentation": [["a", 1, 2, 3, 4, 5]]},
        {"id": 6, "segmentation": {"size": [4, 4], "counts": [1, 2]}},
        {"id": [7], "segmentation": [[0, 0, 4, 0, 4, 4, 1]]},
        None,
    ]
    masks = load_masks(coco(tmp_path / "a.json", [*broken, whole]), (4, 4))
    assert len(masks) == 1
    assert [warning.split("annotation ")[1].split()[0] for warning in masks.warnings] == ["4", "5", "6", "[7]", "5"]


def test_annotations_without_mask_are_named(tmp_path: Path) -> None:
    path = coco(tmp_path / "a.json", [{"id": 5, "bbox": [0, 0, 2, 2]}, {"segmentation": [[0, 0, 4, 0, 4, 4]]}])
    masks = load_masks(path, (4, 4))
    assert len(masks) == 1
    assert "annotation 5 (object) of 'a.json' has no segmentation" in masks.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a file of annotations"),
        ("[1, 2", "not a file of annotations"),
        ('{"images": []}', "a list 'annotations'"),
        ('{"annotations": [1]}', r"annotation 1 \(object\) of 'a.json' is damaged"),
        ('{"annotations": [{"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}]}', "odd number of coordinates"),
        ('{"annotations": [{"segmentation": {"size": [9, 9], "counts": [1]}}]}', "cover 1 pixels instead of 9x9"),
        ('{"annotations": [{"segmentation": {"size": [999999999, 999999999], "counts": [1]}}]}', "less than or equal"),
        ('{"annotations": [{"segmentation": {"counts": [1]}}]}', "size: Field required"),
        ('{"annotations": []}', "no usable object mask"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_masks(path, (9, 9))


@pytest.mark.parametrize("odd", [{"width": 4.0, "height": "4"}, {"width": 0, "height": 4}, {"file_name": 7}, 3])
def test_odd_entries_of_other_pictures_cost_nothing(tmp_path: Path, odd: object) -> None:
    """One picture of thousands has an entry that some tool wrote its own way."""
    pictures = [{"id": 1, "file_name": "1.jpg", "height": "4", "width": 4.0}, odd]
    annotations = [{"image_id": 1, "category_id": 2, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}]
    categories = [{"id": 2, "name": 12}, {"name": "nothing"}, None]
    path = coco(tmp_path / "a.json", annotations, images=pictures, categories=categories)
    masks = load_masks(path, image_name="1.jpg")
    assert masks.names == ("12",)
    assert masks.masks[0].sum() == 4


@pytest.mark.parametrize(
    ("name", "shown"), [("", "object"), ("a\0b\nc", "a b c"), ("\t ", "object"), ("sofa " * 9999, ("sofa " * 16)[:-1])]
)
def test_names_become_a_short_line(tmp_path: Path, name: str, shown: str) -> None:
    annotations = [{"category_id": 2, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}]
    path = coco(tmp_path / "a.json", annotations, categories=[{"id": 2, "name": name}])
    assert load_masks(path, (4, 4)).names[0] == shown
