"""Who the device is: its identity on disk, written when it joins and read when it runs."""

import msgspec

from edge_agent.durable import write_durably
from edge_agent.errors import NotJoined, StateUnusable
from edge_agent.state import StateFolder
from fleet_contract.encoding import decode, encode
from fleet_contract.errors import Undecodable
from fleet_contract.join import Identity
from fleet_contract.topics import Address


def load(state: StateFolder) -> Identity:
    """The identity that the device joined with. Raises `NotJoined` or `StateUnusable`."""
    try:
        return decode(state.identity.read_bytes(), Identity)
    except FileNotFoundError as error:
        raise NotJoined(
            f"This device has not joined a fleet: there is no {state.identity}.",
            "Make a token with `vedette devices token`, then `vedette-agent join TOKEN`.",
        ) from error
    except (OSError, Undecodable) as error:
        raise StateUnusable(
            f"Cannot read the identity in {state.identity}: {error}.",
            "Join again with a new token from `vedette devices token`; the device's key is kept.",
        ) from error


def save(state: StateFolder, identity: Identity) -> None:
    """Writes `identity` in one step. Raises `StateUnusable`."""
    try:
        write_durably(state.identity, msgspec.json.format(encode(identity), indent=2) + b"\n")
    except OSError as error:
        raise StateUnusable(
            f"Cannot write {state.identity}: {error.strerror}.",
            "Make room, or run as the user who owns the folder, and join again with the same token.",
        ) from error


def address_of(identity: Identity) -> Address:
    """The address that messages to and from the device carry."""
    return Address(identity.fleet, identity.device)
