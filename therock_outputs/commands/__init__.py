"""What each task does with its settings: the glue between the front door and the rooms."""
