"""Takes long to import, and leaves a file when it is done."""

import os
import time
from pathlib import Path

time.sleep(4.0)
Path(os.environ["PRELOADS"], "slow").touch()
