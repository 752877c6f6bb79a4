"""What was known of versions before any device ran them: their labels, references and histogram edges."""

import threading
from collections.abc import Collection

from sqlmodel import Session

from cloud_hub.monitoring.gates import About, Edges
from cloud_hub.releases import store as releases
from fleet_contract.manifest import Manifest

_KEPT = 4_096


class Premises:
    """Manifests never change, so each is read once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abouts: dict[tuple[str, int], About] = {}
        self._edges: dict[str, Edges] = {}

    def about(self, session: Session, model: str, version: int, digests: Collection[str]) -> About:
        """Of `version`, and the edges of the artifacts of `model` that `digests` name, as far as they are known."""
        with self._lock:
            known = self._abouts.get((model, version))
            missing = {digest for digest in digests if digest not in self._edges}
        if known is None:
            known = _about(releases.manifests(session, model, [version])[0])
        found = {}
        if missing:
            found = {one.artifact.digest: _edges(one) for one in releases.manifests(session, model)}
        with self._lock:
            # A digest of no version that is known stays so: an artifact is registered before it is run.
            self._edges.update({digest: found.get(digest, Edges()) for digest in missing})
            edges = {digest: self._edges.get(digest) or found.get(digest, Edges()) for digest in digests}
            self._abouts[model, version] = known
            if len(self._edges) > _KEPT:
                self._abouts.clear()
                self._edges.clear()
        return About(known.labels, known.predictions, known.features, known.feature_edges, edges)


def _about(manifest: Manifest) -> About:
    # That of the first target: all come from the same held-out data.
    reference = manifest.reference
    return About(
        manifest.labels,
        reference.predictions,
        {name: one.counts for name, one in reference.features.items()},
        {name: one.edges for name, one in reference.features.items()},
    )


def _edges(manifest: Manifest) -> Edges:
    reference = manifest.reference
    return Edges(reference.confidence.edges, {name: one.edges for name, one in reference.features.items()})
