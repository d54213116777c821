"""Who the services say they are: `source` of the events that each of them writes. Whoever acts on what one of them alone decides looks at it.

At the gateway's door nobody else may call themselves `lastmetre` or anything below it.
"""

from typing import Final

MATCHER: Final = "lastmetre/matcher"
NOTIFIER: Final = "lastmetre/notifier"
# `python3 -m deploy ledger correct`: what the community says of a visit's minutes, which no helper's later report undoes.
CORRECTIONS: Final = "lastmetre/deploy"
