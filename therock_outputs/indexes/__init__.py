"""Indexes of what was made: listing pages for people, repositories for package managers."""
