"""`python -m services.gateway`: settings from the environment, then run until told to stop."""

import sys

from services.gateway.app import main
from services.gateway.settings import Settings
from services.runtime import start

if __name__ == "__main__":
    sys.exit(start(Settings, main))
