"""A search under fire: its processes are killed at random moments, and its study must come out as if nothing had been.

`python -m tests.soak` is the whole soak, `tests/soak/test_soak.py` its short form.
"""
