"""Folders as people have them, by what is odd about them: read right, or refused in words that help."""
