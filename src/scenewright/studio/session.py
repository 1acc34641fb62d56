"""The actions of a person in the studio, without a browser: open, mark, generate, change, take back, export.

    session = Session(folder, segmenter=segmenter, jobs=JobProcess())
    session.open(path); session.board.click(240, 310)
    session.generate("cuboid"); session.edit(Step("move", "object_1", (0.5, 0, 0))); session.export(".usdz")

Each result is a folder of its own, so that taking back is a step to the folder before.
"""

import itertools
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from scenewright.encoders.masks import find_masks
from scenewright.errors import InputError
from scenewright.files import MAX_SEED
from scenewright.io.atomic import make_folder, write_bytes
from scenewright.machine import choose_device
from scenewright.progress import SILENT, Progress
from scenewright.runs.captures import CaptureSettings
from scenewright.runs.choices import panorama_system
from scenewright.runs.edit import Step
from scenewright.runs.inputs import choose_depth
from scenewright.runs.job import SCENE, CaptureJob, EditJob, ExportJob, GenerateJob, Job, JobResult
from scenewright.runs.manifest import GenerateSettings
from scenewright.serve.file_kinds import HEAD_BYTES, suffix_of
from scenewright.serve.limited import LimitedProcess
from scenewright.serve.limits import Limits
from scenewright.studio.inputs import Opened, Result, Source, open_input, read_result
from scenewright.studio.mask_board import MaskBoard, Segmenter
from scenewright.systems.registry import DEFAULT_SYSTEM

__all__ = ["MOST_UPLOADED", "Jobs", "Session"]

_UPLOADS = frozenset(
    (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif", ".avif", ".heic", ".exr", ".hdr", ".zip", ".glb", ".ply")
)
MOST_UPLOADED = 1 << 30
"""Bytes of the largest file that may come through the browser; larger ones are opened by their path."""


@runtime_checkable
class Jobs(Protocol):
    """Anything that does jobs, such as a `JobProcess`."""

    def run(self, job: Job, folder: Path, progress: Progress = ...) -> JobResult: ...


class Session:
    """One person's work; not thread-safe, except that jobs may be cancelled from anywhere."""

    def __init__(
        self, folder: Path, *, segmenter: Segmenter, jobs: Jobs, device: str = "auto", offline: bool = False
    ) -> None:
        """`folder` receives everything that is uploaded and made."""
        self.folder = make_folder(folder)
        self.jobs = jobs
        self.source: Source | None = None
        self.picture: Image.Image | None = None
        self.board: MaskBoard | None = None
        self.results: list[Result] = []
        self._segmenter, self._device, self._offline = segmenter, str(choose_device(device)), offline
        self._reader = LimitedProcess("scenewright.studio.inputs", Limits())

    def warm_up(self) -> None:
        """Begins to start what reads uploads, which takes seconds, before there is one."""
        self._reader.warm_up()

    @property
    def result(self) -> Result | None:
        """The scene as it is now."""
        return self.results[-1] if self.results else None

    @property
    def before(self) -> Result | None:
        """The scene before the last change."""
        return self.results[-2] if len(self.results) > 1 else None

    def take_upload(self, content: bytes) -> None:
        """Keeps and opens a file that came through the browser; its first bytes say what it is, whatever its name is.

        Raises:
            InputError: it is too large, of an unknown kind, or damaged.
        """
        suffix = suffix_of(content[:HEAD_BYTES])
        if suffix not in _UPLOADS:
            raise InputError("Expected a picture, a .glb or .ply scene, or a .zip; open anything else by its path.")
        if len(content) > MOST_UPLOADED:
            raise InputError("The file is larger than 1 GiB; open it by its path instead.")
        path = write_bytes(self._fresh("upload") / f"upload{suffix}", content)
        self._become(self._reader.call("open_input", path, self._free("unpacked")))

    def open(self, path: Path) -> None:
        """Opens a file or folder of this machine; see `studio.inputs.open_input`.

        Raises:
            InputError: it is missing, damaged or nothing that the studio reads.
        """
        try:
            path = path.expanduser().absolute()
        except RuntimeError as error:
            raise InputError(f"'{path}' begins with the home of somebody who is not known here.") from error
        self._become(open_input(path, self._free("unpacked")))

    def open_example(self, folder: Path) -> None:
        """Opens a picture whose masks and camera are known: a folder of a test scene."""
        self.open(folder / "rgb.jpg")
        assert self.source is not None
        assert self.board is not None
        self.source = replace(self.source, camera=folder / "scene.json")
        self.board.take(find_masks(self.board.image, folder / "instances.png"))

    def generate(
        self, system: str = DEFAULT_SYSTEM, *, weights: str | None = None, seed: int = 0, progress: Progress = SILENT
    ) -> Result:
        """Makes a scene of what was opened.

        Args:
            system: for pictures; panoramas and captures have one that reads them.

        Raises:
            InputError: nothing was opened or marked, or there is no such seed.
            ScenewrightError: the job's own.
        """
        if not 0 <= seed <= MAX_SEED:
            raise InputError(f"Expected a seed from 0 to {MAX_SEED}, got {seed}.")
        source = self.source
        if source is None:
            raise InputError("Open a photograph, a panorama or a capture first.")
        folder = self._fresh("scene")
        job: Job
        if source.kind == "capture":
            job = CaptureJob(
                CaptureSettings(source.path, weights=weights, seed=seed, device=self._device, offline=self._offline)
            )
        else:
            settings = GenerateSettings(
                str(source.path),
                (),
                system,
                weights=weights,
                camera=None if source.camera is None else str(source.camera),
                seed=seed,
                device=self._device,
                offline=self._offline,
            )
            if source.kind == "panorama":
                depth = choose_depth()
                system = panorama_system(DEFAULT_SYSTEM)
                settings = replace(settings, system=system, depth=depth.file, depth_model=depth.model)
            elif self.board is not None:
                settings = replace(settings, masks=(str(self.board.save(folder / "masks")),))
            job = GenerateJob(settings, comparison=False)  # the page draws one of its own
        self.results = [self._done(job, folder, progress)]
        return self.results[-1]

    def edit(self, *steps: Step, progress: Progress = SILENT) -> Result:
        """Changes the scene; a "regenerate" makes an object anew.

        Raises:
            InputError: there is no scene, or a step cannot be done.
        """
        job = EditJob(str(self._current().path), steps, offline=self._offline)
        made = self._done(job, self._fresh("scene"), progress)
        rerolled = next((step.name for step in steps if step.action == "regenerate"), None)
        self.results.append(replace(made, rerolled=rerolled))
        return self.results[-1]

    def undo(self, progress: Progress = SILENT) -> Result:
        """Takes the last change back, also one that was made before the scene was opened here.

        Raises:
            InputError: the scene is as it was generated.
        """
        now = self._current()
        if len(self.results) > 1:
            self.results.pop()
        elif now.steps:
            job = EditJob(str(now.path), undo=1, offline=self._offline)
            self.results = [self._done(job, self._fresh("scene"), progress)]
        else:
            raise InputError("The scene is as it was made; there is nothing to undo.")
        return self._current()

    def export(self, suffix: str, *, program: str | None = None, progress: Progress = SILENT) -> Path:
        """The scene as one file: in the format of a suffix, zipped where that has files beside it.

        Raises:
            InputError: the format cannot hold the scene, or the program does not read it.
        """
        folder = self._fresh("export")
        made = self.jobs.run(ExportJob(str(self._current().path), suffix, program=program), folder, progress)
        if len(made.files) == 1:
            return folder / made.files[0]
        target = folder / f"{Path(SCENE).stem}{suffix.replace('.', '_')}.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in made.files:
                archive.write(folder / name, name)
        return target

    def package(self) -> Path:
        """A zip of the scene and its manifest, which `open` takes again."""
        path = self._current().path
        target = make_folder(self._fresh("export")) / "scene.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in (path, path.with_suffix(".json")):
                if file.is_file():
                    archive.write(file, f"{Path(SCENE).stem}{file.suffix}")
        return target

    def _current(self) -> Result:
        if self.result is None:
            raise InputError("There is no scene yet; generate or open one.")
        return self.result

    def _become(self, opened: Opened) -> None:
        self.source, self.picture = opened.source, opened.picture
        is_picture = opened.source is not None and opened.source.kind == "picture"
        self.board = MaskBoard(opened.picture, self._segmenter) if is_picture and opened.picture is not None else None
        self.results = [] if opened.result is None else [opened.result]

    def _done(self, job: Job, folder: Path, progress: Progress) -> Result:
        self.jobs.run(job, folder, progress)
        return read_result(folder / SCENE)

    def _fresh(self, name: str) -> Path:
        return make_folder(self._free(name))

    def _free(self, name: str) -> Path:
        """A folder that is not there yet."""
        taken = {path.name for path in self.folder.iterdir()}
        return self.folder / next(own for number in itertools.count(1) if (own := f"{name}_{number}") not in taken)
