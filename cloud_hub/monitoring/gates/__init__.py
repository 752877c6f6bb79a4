"""Whether a version is as good as the one before it, as far as devices can tell. No I/O, no clock, no randomness.

Each gate compares the treated cohort (devices that run the version) with a concurrent control cohort (devices that run
another version in the same time) and with its own past before the change; where there is neither, with what the
manifest says of held-out data. It fails once harm is proved (`failing.py`), is passed once harm is ruled out on the
devices that run it (`passing.py`), and says "not enough evidence" until one of both is so. Never enough never passes.
Verdicts are valid however often, and whenever, they are looked at; all gates together fail for a version that changes
nothing beyond what is tolerated with at most the probability `Tolerances.false_alarms`, over the whole rollout.
"""

from cloud_hub.monitoring.gates.case import About, Case, Edges, Outcomes, Tolerances
from cloud_hub.monitoring.gates.judge import judge
from cloud_hub.monitoring.gates.verdict import Gate, Verdict

__all__ = ["About", "Case", "Edges", "Gate", "Outcomes", "Tolerances", "Verdict", "judge"]
