"""What grew between two runs: reading two sides, and comparing their sizes."""
