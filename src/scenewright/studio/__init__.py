"""A page in the browser: a picture, masks by clicking, the scene in 3D, its objects moved and made anew, any format.

    scenewright studio            # opens http://127.0.0.1:8080

`Session` is what a person does, without a browser; `Page` shows it with viser, whose page ships in its wheel and needs
no network; `JobProcess` does the jobs of `runs.job` beside it, so that the page answers meanwhile.
"""
