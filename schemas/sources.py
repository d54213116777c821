"""Who the services say they are: `source` of the events that each of them writes. Whoever acts on what one of them alone decides looks at it.

At the gateway's door nobody else may call themselves `lastmetre` or anything below it.
"""

from typing import Final

MATCHER: Final = "lastmetre/matcher"
NOTIFIER: Final = "lastmetre/notifier"
