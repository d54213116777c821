"""`python -m services.notifier`: settings from the environment, then run until told to stop."""

import sys

from services.notifier.app import main
from services.notifier.settings import Settings
from services.runtime import start

if __name__ == "__main__":
    sys.exit(start(Settings, main))
