"""deb and rpm packages of a run, and their definitions."""
