"""Rigid bodies: what meshes weigh, how they turn, and the convex shapes that collide for them."""
