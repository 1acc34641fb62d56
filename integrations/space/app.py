"""A Gradio Space: a photograph and its masks to a scene in the browser, with the small weights that ship."""

import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import gradio as gr

from scenewright.errors import ScenewrightError
from scenewright.runs.generate import load_system, run, save_run
from scenewright.runs.inputs import read_inputs
from scenewright.runs.manifest import GenerateSettings
from scenewright.systems.system import System

EXAMPLE = Path(str(files("scenewright"))) / "assets" / "living_room"
SYSTEMS = ("scenegen", "iscene", "cuboid")


@lru_cache(maxsize=len(SYSTEMS))
def opened(system: str) -> System:
    """The system with its networks, loaded once."""
    return load_system(settings_of("", (), system, 0))


def settings_of(picture: str, masks: tuple[str, ...], system: str, seed: int) -> GenerateSettings:
    weights = system if system == "cuboid" else "mini"
    return GenerateSettings(image=picture, masks=masks, system=system, weights=weights, seed=seed, offline=True)


def make_scene(picture: str | None, masks: list[str] | None, system: str, seed: float) -> tuple[str, str]:
    """Paths of the scene (.glb) and of the picture that compares it with the photograph.

    Raises:
        gr.Error: the sentence that the command line would say.
    """
    if not picture or not masks:
        raise gr.Error("Give a photograph and its masks: a picture with a colour per object, or one file for each.")
    folder = Path(tempfile.mkdtemp(prefix="scenewright-"))
    scene, comparison = folder / "scene.glb", folder / "comparison.png"
    try:
        settings = settings_of(picture, tuple(masks), system, int(seed))
        inputs = read_inputs(settings)
        save_run(run(settings, inputs, system=opened(system)), scene, comparison=comparison, inputs=inputs)
    except ScenewrightError as error:
        raise gr.Error(str(error)) from error
    return str(scene), str(comparison)


def build() -> gr.Blocks:
    with gr.Blocks(title="Scenewright") as app:
        gr.Markdown("# Scenewright\nA photograph and a mask for each object to a scene of separate objects.")
        with gr.Row():
            with gr.Column():
                picture = gr.Image(label="Photograph", type="filepath")
                masks = gr.File(
                    label="Masks: one file with a value or colour per object, or a file each", file_count="multiple"
                )
                system = gr.Dropdown(SYSTEMS, value=SYSTEMS[0], label="System")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                button = gr.Button("Make the scene", variant="primary")
            with gr.Column():
                scene = gr.Model3D(label="Scene")
                comparison = gr.Image(label="Photograph, masks, the scene from the same camera, and from above")
        gr.Examples(
            [[str(EXAMPLE / "rgb.jpg"), [str(EXAMPLE / "instances.png")], SYSTEMS[0], 0]],
            [picture, masks, system, seed],
            cache_examples=False,
        )
        button.click(make_scene, [picture, masks, system, seed], [scene, comparison], concurrency_limit=1)
    return app


if __name__ == "__main__":
    build().launch()
