"""The streams that are published by name.

The supplies are those at which greedy by nearest comes to 0.97, 0.88 and 0.67 of the optimum's weight: see docs/quality.md.
"""

from typing import Final

from deploy.whatif.generator import Shape

AMPLE: Final = Shape("ample", days=3, wishes=600, supply=12.0, streams=2)
BALANCED: Final = Shape("balanced", days=3, wishes=600, supply=1.5, streams=3)
SCARCE: Final = Shape("scarce", days=3, wishes=600, supply=0.3, streams=3)
# Three quarters as many wishes as helpers; each helper comes out several times in the month.
MONTH: Final = Shape("month", days=30, wishes=1200, helpers=1600, visits=(4, 5, 6))
FULL: Final = (AMPLE, BALANCED, SCARCE, MONTH)
