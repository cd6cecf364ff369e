"""Turn a CI workflow run of TheRock into what people install, and put it where they find it."""
