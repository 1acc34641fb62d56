"""The page: a column of what to do next beside the large view, and what each button does.

Every callback of viser comes in a thread of its own; `Page` lets one at a time through. Jobs with their progress run
outside that lock, so that a job can be cancelled.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import viser
from PIL import Image

from scenewright.encoders.masks.prompts import Box
from scenewright.errors import InputError, ScenewrightError
from scenewright.files import MAX_SEED, reason_of
from scenewright.geometry.camera.projection import scale_camera
from scenewright.io.formats import suffixes
from scenewright.io.programs import PROGRAMS
from scenewright.progress import Advance, Progress
from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import mask_overlay, picture_sheet
from scenewright.runs.edit import Action, Step
from scenewright.studio.canvas import Canvas, Change
from scenewright.studio.inputs import Result
from scenewright.studio.session import Session
from scenewright.systems.registry import usable_systems

__all__ = ["Page"]

logger = logging.getLogger(__name__)

_BRAND, _QUIET = (38, 110, 140), (110, 120, 130)
_PATIENCE_S = 5.0
_VIEW_FIRST_S = 1.0
_NEW, _ANY, _CELL = "a new object", "any program", 384
_BLANK = np.full((8, 8, 3), 255, np.uint8)
# React listens to the change of the hidden input behind the upload button.
_DROP = """<div style="margin:0.6em;padding:1.4em 0.5em;border:2px dashed #9aa;border-radius:8px;text-align:center"
 ondragover="event.preventDefault()"
 ondrop="event.preventDefault();const i=document.querySelector('input[type=file]');i.files=event.dataTransfer.files;
i.dispatchEvent(new Event('change',{bubbles:true}))">
Drop a photograph, panorama,<br>zip of a capture, or a scene here</div>"""


class Page:
    """Shows a session on a server and does what is clicked."""

    def __init__(
        self, server: viser.ViserServer, session: Session, cancel: Callable[[], None], *, segmenter: str, system: str
    ) -> None:
        """
        Args:
            cancel: ends the job that runs.
            segmenter: the name, for people, of what makes masks of clicks.
            system: chosen at first.
        """
        self._server, self._session = server, session
        self._one = threading.RLock()
        self._working = threading.Lock()
        self._waiting: list[Step] = []
        self._chosen: str | None = None
        self._due: threading.Timer | None = None
        self._canvas = Canvas(
            server, clicked=self._click, boxed=self._box, chosen=self._chosen_in_view, changed=self._moved
        )
        self._build(segmenter, system, cancel)
        server.on_client_connect(lambda client: self._count_tabs())
        server.on_client_disconnect(lambda client: self._count_tabs())
        self._opened()

    def _count_tabs(self) -> None:
        self._shared.visible = len(self._server.get_clients()) > 1

    def _build(self, segmenter: str, system: str, cancel: Callable[[], None]) -> None:
        gui = self._server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=_BRAND)
        gui.main_panel.dock_right()
        self._say = gui.add_markdown("")
        self._shared = gui.add_markdown(
            "*Several tabs show this studio. They share what is open in it.*", visible=False
        )
        self._bar = gui.add_progress_bar(0, animated=True, visible=False)
        self._cancel = self._button("Cancel", cancel, icon=viser.Icon.X, alone=False, visible=False)
        with gui.add_folder("1  Picture", order=1010) as self._open_part:
            gui.add_html(_DROP)
            self._upload = gui.add_upload_button("Choose a file", icon=viser.Icon.UPLOAD)
            self._upload.on_upload(lambda event: self._do(self._take_upload, event.target.value))
            self._path = gui.add_text("Path", "", hint="A file or a capture's folder on the computer of the studio")
            self._button("Open the path", self._open_path, icon=viser.Icon.FOLDER_OPEN)
            self._button("Try the example", self._open_example, icon=viser.Icon.PHOTO)
        with gui.add_folder("2  Objects", order=1020) as self._mask_part:
            gui.add_markdown(
                f"*Click* an object or *Ctrl-drag* a box around it; *shift-click* what is not part of it. ({segmenter})"
            )
            self._object = gui.add_dropdown("Clicks go to", (_NEW,))
            self._object.on_update(self._by_hand(self._choose_mask))
            self._name = gui.add_text("Name", "")
            self._name.on_update(self._by_hand(self._rename))
            self._button("Undo the click", self._undo_click, icon=viser.Icon.ARROW_BACK_UP)
            self._button("Delete the object", self._delete_mask, icon=viser.Icon.TRASH)
        with gui.add_folder("3  Scene", order=1030) as self._make_part:
            self._system = gui.add_dropdown("System", _systems(), initial_value=system)
            self._seed = gui.add_number("Seed", 0, min=0, max=MAX_SEED, step=1)
            self._button("Generate", self._generate, alone=False, icon=viser.Icon.CUBE, color=_BRAND)
        with gui.add_folder("4  Change", order=1040) as self._edit_part:
            gui.add_markdown("*Click* an object in the view, then drag its handle.")
            self._item = gui.add_dropdown("Object", ("",))
            self._item.on_update(self._by_hand(self._choose_object))
            self._lift = gui.add_number("Raise by", 0.0, step=0.01)
            self._grow = gui.add_number("Scale by", 1.0, min=0.05, max=20.0, step=0.05)
            self._button("Raise and scale", self._raise_and_scale, alone=False, icon=viser.Icon.ARROWS_VERTICAL)
            self._button("Make anew", lambda: self._step("regenerate"), alone=False, icon=viser.Icon.REFRESH)
            self._lock = self._button("Lock", self._lock_object, alone=False, icon=viser.Icon.LOCK)
            self._button("Duplicate", lambda: self._step("duplicate"), alone=False, icon=viser.Icon.COPY)
            self._button("Delete", lambda: self._step("delete"), alone=False, icon=viser.Icon.TRASH)
            self._button("Undo", self._undo, alone=False, icon=viser.Icon.ARROW_BACK_UP)
            self._was = gui.add_checkbox("Show it before the last change", False)
            self._was.on_update(self._by_hand(lambda was: self._draw()))
            self._button("View of the photograph", self._look, icon=viser.Icon.CAMERA)
        with gui.add_folder("5  Export", order=1050) as self._export_part:
            self._suffix = gui.add_dropdown("Format", suffixes("meshes", "splats", "voxels"), initial_value=".glb")
            self._program = gui.add_dropdown("For", (_ANY, *(program.name for program in PROGRAMS)))
            self._button("Download", self._export, alone=False, icon=viser.Icon.DOWNLOAD)
            self._button("Download scene and manifest", self._package, icon=viser.Icon.FILE_ZIP)
        self._compare = gui.add_panel(visible=False)
        with self._compare.add_tab("Photograph and scene"):
            self._comparison = gui.add_image(_BLANK, format="jpeg")
        self._compare.dock_left()
        self._compare.set_width(260)

    def _button(
        self, label: str, action: Callable[[], None], *, alone: bool = True, **look: Any
    ) -> viser.GuiButtonHandle:
        button = self._server.gui.add_button(label, **({"color": _QUIET} | look))
        button.on_click(lambda event: self._do(action) if alone else action())
        return button

    def _by_hand(self, action: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback of a value that does something only where a person changed it, and not this class."""
        return lambda event: self._do(action, event.target.value) if event.client is not None else None

    def _do(self, action: Callable[..., None], *values: object) -> None:
        """Does what was clicked, and shows what is wrong with it as a sentence."""
        try:
            with self._one:
                action(*values)
        except ScenewrightError as error:
            self._tell(error)
        except Exception as error:  # else the page would say nothing
            logger.exception("What was clicked")
            self._tell(InputError(f"The studio made a mistake ({reason_of(error)}); its log says more."))

    def _do_alone(
        self,
        title: str,
        work: Callable[[Progress], object],
        *,
        look: bool = False,
        draws: bool = True,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Runs a job with its progress, one at a time, while everything else can be clicked.

        Args:
            look: the view goes to the new scene.
            draws: the scene is another one afterwards.
            patience_s: to wait for the job before; -1 waits for its end.
        """
        if not self._working.acquire(timeout=patience_s):
            self._tell(InputError("Wait for what is being made, or cancel it."))
            return
        try:
            with self._shown_progress(title) as progress:
                work(progress)
            if draws:
                with self._one:
                    self._was.value = False
                    self._draw(look=look)
                self._compare_soon()
        except ScenewrightError as error:
            self._tell(error)
            with self._one:
                self._draw()  # objects go back to where the scene has them
        finally:
            self._working.release()

    def _taken_steps(self) -> list[Step]:
        with self._one:
            steps, self._waiting = self._waiting, []
        return steps

    @contextmanager
    def _shown_progress(self, title: str) -> Iterator[Progress]:
        self._bar.value, self._bar.visible, self._cancel.visible = 0.0, True, True
        self._say.content = f"**{title}**"
        try:
            yield _Shown(self._tell_stage, self._fill, title)
        finally:
            self._bar.visible = self._cancel.visible = False
            with self._one:
                self._refresh()

    def _tell_stage(self, line: str) -> None:
        self._say.content = line

    def _fill(self, percent: float) -> None:
        self._bar.value = percent

    # 1 Picture

    def _take_upload(self, file: viser.UploadedFile) -> None:
        self._idle()
        self._session.take_upload(file.content)
        self._opened()

    def _open(self, path: Path) -> None:
        self._idle()
        self._session.open(path)
        self._opened()

    def _open_path(self) -> None:
        if not (path := self._path.value.strip()):
            raise InputError("Type a path first.")
        self._open(Path(path))

    def _open_example(self) -> None:
        self._idle()
        with as_file(files("scenewright") / "assets" / "living_room") as folder:
            self._session.open_example(folder)
        self._opened()

    def _opened(self) -> None:
        self._chosen = None
        self._waiting.clear()
        self._compare.visible = False
        if self._session.result is not None:
            self._draw(look=True)
            self._compare_soon()
        elif (picture := self._session.picture) is not None:
            self._canvas.show_picture(picture)
            self._repaint()
        else:
            self._canvas.clear()
        self._refresh()

    # 2 Objects

    def _click(self, x: float, y: float, is_on: bool) -> None:
        def mark() -> None:
            if self._session.board is not None:
                self._session.board.click(x, y, is_on)
                self._repaint()

        self._do(mark)

    def _box(self, box: Box) -> None:
        def mark() -> None:
            if self._session.board is not None:
                self._session.board.draw_box(box)
                self._repaint()

        self._do(mark)

    def _choose_mask(self, name: str) -> None:
        assert self._session.board is not None
        self._session.board.choose(None if name == _NEW else name)
        self._repaint()

    def _rename(self, name: str) -> None:
        board = self._session.board
        if board is not None and board.chosen is not None and name and name != board.chosen.name:
            board.rename(board.chosen.name, name)
            self._repaint()

    def _undo_click(self) -> None:
        if self._session.board is not None:
            self._session.board.undo()
            self._repaint()

    def _delete_mask(self) -> None:
        board = self._session.board
        if board is None or board.chosen is None:
            raise InputError("Choose the object to delete, under 'Clicks go to'.")
        board.delete(board.chosen.name)
        self._repaint()

    def _repaint(self) -> None:
        """The picture with its masks, and the list of objects."""
        board = self._session.board
        if board is None:
            return
        masks = board.masks
        self._canvas.repaint(board.image if not len(masks) else mask_overlay(board.image, [*masks.masks]))
        self._object.options = (_NEW, *(item.name for item in board.objects))
        self._object.value = board.chosen.name if board.chosen else _NEW
        self._name.value = board.chosen.name if board.chosen else ""
        self._name.disabled = board.chosen is None

    # 3 Scene

    def _generate(self) -> None:
        # A browser's numbers are floating, so its largest seed is one too large.
        system, seed = self._system.value, min(int(self._seed.value), MAX_SEED)
        self._do_alone(
            "Generating", lambda progress: self._session.generate(system, seed=seed, progress=progress), look=True
        )

    # 4 Change

    def _chosen_in_view(self, name: str) -> None:
        self._do(self._choose_object, name)

    def _choose_object(self, name: str) -> None:
        result = self._session.result
        self._chosen = name if result and any(item.name == name for item in result.scene.objects) else None
        is_locked = result is not None and name in result.locked
        self._canvas.choose(self._chosen, movable=not is_locked and not self._was.value)
        self._lock.label = "Unlock" if is_locked else "Lock"
        self._item.value = self._chosen or ""

    def _moved(self, name: str, change: Change) -> None:
        """Called in the loop that serves the page, so that it only notes the steps."""
        steps = []
        if abs(change.degrees) > 1e-3:
            steps.append(Step("rotate", name, (change.degrees,)))
        if any(change.move):
            steps.append(Step("move", name, change.move))
        threading.Thread(target=self._steps, args=(steps,), daemon=True).start()

    def _steps(self, steps: list[Step]) -> None:
        """Does steps after the job that runs, together with those that come meanwhile."""

        def work(progress: Progress) -> None:
            if waiting := self._taken_steps():
                self._session.edit(*waiting, progress=progress)

        with self._one:
            self._waiting += steps
        self._do_alone("Changing", work, patience_s=-1)

    def _step(self, action: Action, *values: float) -> None:
        if self._chosen is None:
            self._tell(InputError("Choose an object first: click it in the view."))
            return
        self._steps([Step(action, self._chosen, values)])

    def _raise_and_scale(self) -> None:
        lift, factor = float(self._lift.value), float(self._grow.value)
        self._lift.value, self._grow.value = 0.0, 1.0
        if factor != 1:
            self._step("scale", factor)
        if lift:
            self._step("move", 0.0, 0.0, lift)

    def _lock_object(self) -> None:
        result = self._session.result
        self._step("unlock" if result is not None and self._chosen in result.locked else "lock")

    def _undo(self) -> None:
        self._do_alone("Taking back", self._session.undo)

    def _look(self) -> None:
        if self._session.result is not None:
            self._canvas.look_from_photograph(self._session.result.scene)

    def _draw(self, *, look: bool = False) -> None:
        """The scene as it is, or was before its last change."""
        session = self._session
        result = session.before if self._was.value and session.before is not None else session.result
        if result is None:
            return
        if not self._compare.visible:  # now, as the view would change its shape under the eyes of who looks at it
            picture = session.picture
            self._comparison.image = _BLANK if picture is None else self._sheet([picture], ["photograph"])
            self._compare.visible = True
        self._canvas.show_scene(result.scene, look=look)
        names = [item.name for item in result.scene.objects]
        self._item.options = ("", *names)
        self._choose_object(self._chosen if self._chosen in names else "")
        self._refresh()

    def _compare_soon(self) -> None:
        """Draws the comparison when the view had its turn, which would wait for it; of quick changes the last one."""
        if self._due is not None:
            self._due.cancel()
        self._due = threading.Timer(_VIEW_FIRST_S, self._draw_comparison)
        self._due.daemon = True
        self._due.start()

    def _draw_comparison(self) -> None:
        """Photograph and scene from the same camera; of an object made anew also how it was before."""
        session = self._session
        with self._one:
            result, before, picture = session.result, session.before, session.picture
        if result is None:
            return
        try:
            cells, labels = [self._still(result)], ["scene"]
            if result.rerolled is not None and before is not None:
                cells, labels = [self._still(before), *cells], ["before", "after"]
        except ScenewrightError as error:
            self._tell(error)
            return
        if picture is not None:
            cells, labels = [picture, *cells], ["photograph", *labels]
        sheet = self._sheet(cells, labels)
        with self._one:
            if session.result is result:
                self._comparison.image = sheet

    @staticmethod
    def _sheet(cells: list[Image.Image], labels: list[str]) -> np.ndarray:
        return np.asarray(picture_sheet([[cell] for cell in cells], row_labels=labels, cell=_CELL))

    @staticmethod
    def _still(result: Result) -> Image.Image:
        camera = result.scene.camera
        if camera is not None and camera.width > _CELL:
            camera = scale_camera(camera, _CELL / camera.width)
        return preview_still(result.scene, camera=camera)

    # 5 Export

    def _export(self) -> None:
        suffix, program = self._suffix.value, None if self._program.value == _ANY else self._program.value

        def work(progress: Progress) -> None:
            self._send(self._session.export(suffix, program=program, progress=progress))

        self._do_alone(f"Writing {suffix}", work, draws=False)

    def _package(self) -> None:
        self._send(self._session.package())

    def _send(self, path: Path) -> None:
        for client in self._server.get_clients().values():
            client.send_file_download(path.name, path.read_bytes(), save_immediately=True)

    # All

    def _refresh(self) -> None:
        """Shows the parts that there is something to do in, and says what comes next."""
        session = self._session
        has_scene, kind = session.result is not None, session.source.kind if session.source else None
        self._mask_part.visible = kind == "picture" and not has_scene
        self._make_part.visible = kind is not None
        # What comes next stands at the top.
        self._open_part.order, self._make_part.order = (1060, 1070) if has_scene else (1010, 1030)
        self._system.visible = kind == "picture"
        self._edit_part.visible = self._export_part.visible = has_scene
        self._was.visible = session.before is not None
        if has_scene:
            assert session.result is not None
            self._say.content = (
                f"**{len(session.result.scene.objects)} objects.** Click one to move it, or export the scene."
            )
        elif kind == "picture":
            self._say.content = "**Click each object**, then generate."
        elif kind is not None:
            self._say.content = f"**A {kind}**, which needs no masks: generate."
        else:
            self._say.content = "**Open a picture** to begin."

    def _idle(self) -> None:
        if self._working.locked():
            raise InputError("Wait for what is being made, or cancel it.")

    def _tell(self, error: ScenewrightError) -> None:
        for client in self._server.get_clients().values():
            client.add_notification("That did not work", str(error), color="red", auto_close_seconds=20)


class _Shown:
    """Progress as a line and a bar, at most ten times a second."""

    def __init__(self, tell: Callable[[str], None], fill: Callable[[float], None], title: str) -> None:
        self._tell, self._fill, self._title, self._last = tell, fill, title, 0.0

    def stage(self, name: str) -> Advance:
        self._tell(f"**{self._title}**: {name}")
        self._fill(0.0)

        def advance(done: int, total: int) -> None:
            now = time.monotonic()
            if total > 0 and (now - self._last > 0.1 or done == total):
                self._last = now
                self._fill(100.0 * min(done / total, 1.0))

        return advance


def _systems() -> tuple[str, ...]:
    return tuple(spec.name for spec in usable_systems() if spec.reads == "masks")
