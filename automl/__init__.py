"""Hyperparameter search for image-classification competitions, from the folder to the submission."""

__version__ = "0.1.0"
