"""The Python packages of a run: the wheels, and the `rocm` sdist that selects among them."""
