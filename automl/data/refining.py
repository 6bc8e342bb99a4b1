"""A competition after its images have been looked at: broken ones left out, duplicates held together.

Not responsible for: the look itself (automl.data.survey).
"""
