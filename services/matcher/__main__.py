"""`python -m services.matcher`: one matcher worker, configured by LASTMETRE_ variables."""

import sys

from services.matcher.app import MatcherSettings, main
from services.runtime import start

if __name__ == "__main__":
    sys.exit(start(MatcherSettings, main))
