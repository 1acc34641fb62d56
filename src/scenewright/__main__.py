"""`python -m scenewright`: the same as the `scenewright` command."""

from scenewright.cli import main

if __name__ == "__main__":
    main()
