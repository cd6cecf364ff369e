"""The inputs: what a run's build artifacts are called, hold and need, and how they are moved."""
