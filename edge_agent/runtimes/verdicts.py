"""What each way to compute an artifact has shown on this device, kept beside the artifact and evicted with it."""

import logging
from pathlib import Path
from typing import Literal

import msgspec

from edge_agent.durable import write_durably
from fleet_contract.because import Because

_log = logging.getLogger(__name__)
#: A provider that was being tried so many times when the agent ended is what ended it.
FATAL_TRIES = 2


class Verdict(msgspec.Struct, frozen=True):
    """Of one provider in one version of a runtime."""

    state: Literal["tried", "agrees", "refused"]
    tries: int = 0
    because: Because | None = None


class Verdicts:
    """Of the artifact at `path`, for the runtime `version` (its name and version)."""

    def __init__(self, path: Path, version: str) -> None:
        self._path = path.with_suffix(".verdicts")
        self._version = version
        self._all = _read(self._path)

    def agrees(self, provider: str) -> bool:
        """Whether it has computed the golden set here as it should."""
        found = self._find(provider)
        return found is not None and found.state == "agrees"

    def refused(self, provider: str) -> Because | None:
        """Why it must not compute this artifact here."""
        found = self._find(provider)
        return None if found is None else _refused(provider, found)

    def begin(self, provider: str) -> bool:
        """Notes, before it is touched, that it is going to be tried. False when that cannot be noted: an agent that
        it kills would try it for ever."""
        found = self._find(provider)
        return self._note(provider, Verdict("tried", (0 if found is None else found.tries) + 1))

    def agree(self, provider: str) -> None:
        self._note(provider, Verdict("agrees"))

    def refuse(self, provider: str, because: Because) -> None:
        self._note(provider, Verdict("refused", because=because))

    def forget(self, provider: str) -> None:
        """As if it had never been tried."""
        self._all.pop(self._key(provider), None)
        self._save()

    def _find(self, provider: str) -> Verdict | None:
        return self._all.get(self._key(provider))

    def _key(self, provider: str) -> str:
        return f"{self._version} {provider}"

    def _note(self, provider: str, verdict: Verdict) -> bool:
        self._all[self._key(provider)] = verdict
        return self._save()

    def _save(self) -> bool:
        try:
            write_durably(self._path, msgspec.json.encode(self._all))
        except OSError as error:
            _log.warning("Cannot write %s: %s", self._path.name, error)
            return False
        return True


def refusals(path: Path) -> dict[str, Because]:
    """What must not compute the artifact at `path` here, by the name and version of a runtime and the provider."""
    found = {key: _refused(key, verdict) for key, verdict in _read(path.with_suffix(".verdicts")).items()}
    return {key: because for key, because in found.items() if because is not None}


def _refused(provider: str, verdict: Verdict) -> Because | None:
    if verdict.state != "tried":
        return verdict.because
    if verdict.tries < FATAL_TRIES:
        return None
    return Because("provider-fatal", f"{provider} was being tried when the agent ended, {verdict.tries} times.")


def _read(path: Path) -> dict[str, Verdict]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Verdict])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        # What is forgotten is proved again, or not used.
        _log.warning("%s cannot be read, and is forgotten: %s", path.name, error)
        return {}
