"""Faults staged on purpose; which row of the fault matrix each test proves is in tests/test_faults.py."""
