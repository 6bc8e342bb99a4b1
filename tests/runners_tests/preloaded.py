"""Imported by workers before their job; leaves a file with the name of the process."""

import os
from pathlib import Path

Path(os.environ["PRELOADS"], str(os.getpid())).touch()
