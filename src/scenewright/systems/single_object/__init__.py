"""One picture (or several of the same thing) to one textured object, by either backbone."""
