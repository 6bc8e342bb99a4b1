"""Miniatures of fifty real competitions, and what they prove of reading folders and writing submissions."""
