"""The whole chain: from a run to what people install, resumable at every point."""
