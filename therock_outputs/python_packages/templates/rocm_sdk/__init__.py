"""Find, load and use the ROCm that pip installed."""
