"""What GitHub tells a job and what a job tells GitHub: runs, commits, outputs, summaries."""
