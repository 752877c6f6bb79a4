"""One model as the engine sees it: its slot, what waits for it, and how long it takes."""

from collections.abc import Hashable

from edge_agent.core.batching import Bounds
from edge_agent.live import LiveModel
from edge_agent.serving.jobs import Job, Line
from edge_agent.serving.signature import Signature
from edge_agent.serving.statistics import Ledger
from fleet_contract.manifest import Manifest

#: A model that answers sooner than this runs on the thread that asks: handing over to a worker would cost as much.
INLINE_NS = 300_000
#: And back to a worker only well above it, so that it does not go to and fro.
HANDED_OVER_NS = 500_000
#: A thread that has nothing else to do runs slower models, too. With slower ones than that there is nothing to gain.
PATIENT_NS = 20_000_000
_STEP = 1.1


class Served(Line):
    """One model. Safe for any number of threads: what is read while another thread writes it is a hint, and no more."""

    def __init__(self, model: str, slot: LiveModel, challenger: LiveModel, bounds: Bounds) -> None:
        super().__init__(bounds)
        self.model = model
        self.slot = slot
        self.challenger = challenger
        """The slot of its shadow, which is empty for most."""
        self.ledger = Ledger()
        self.quick = False
        """Whether it answers so soon that the thread that asks may run it."""
        self.typical_ns = 0.0
        """About the median of what runs take lately; 0 while nothing is known of this version."""
        self._last_ns = 0
        self._signature: Signature | None = None

    def signature_of(self, manifest: Manifest) -> Signature:
        """The signature of `manifest`, which is live now."""
        found = self._signature
        if found is None or found.manifest is not manifest:
            self.typical_ns, self.quick = 0.0, False
            found = self._signature = Signature(manifest)
        return found

    def took(self, manifest: Manifest, run_ns: int) -> None:
        """One run of the version that `manifest` describes."""
        if self._signature is None or manifest is not self._signature.manifest:
            return
        self._last_ns = run_ns
        if not self.typical_ns:
            self.typical_ns = float(run_ns)
        else:
            # Steps of the same size up and down end at the median, however long a few runs had to wait for the
            # processor; an average would be theirs.
            self.typical_ns *= _STEP if run_ns > self.typical_ns else 1 / _STEP
        self.quick = self.typical_ns < (HANDED_OVER_NS if self.quick else INLINE_NS)

    def bearable(self, rows: int) -> bool:
        """Whether a thread that has nothing else to do may run so many rows. One slow run is enough for a no."""
        return 0 < max(self.typical_ns, self._last_ns) * rows < PATIENT_NS

    @property
    def slow(self) -> bool:
        """Whether what a call costs beside its run is nothing to that."""
        return self.typical_ns >= PATIENT_NS

    def togetherness(self, job: Job) -> Hashable:
        """What must be the same for two jobs to go together; None when this one goes alone."""
        if self.bounds.max_rows < 2 or not job.signature.batched:
            return None
        # By identity of the signature: calls that were checked against two versions never mix.
        return id(job.signature), tuple(array.shape[1:] for _, array in sorted(job.call.inputs.items()))
