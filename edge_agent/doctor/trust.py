"""Looks at who the device is: its identity, its key, its certificate, and whether its clock can be right."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.state import StateFolder
from fleet_contract.join import Identity

_SOON = timedelta(days=14)
#: What TLS, the expiry of orders and the times of telemetry put up with.
_SKEW = timedelta(seconds=60)
JOIN_AGAIN = "Join again with a new token from `vedette devices token`; the device's key is kept."


def certificate(who: Identity, state: StateFolder, here: datetime, hubs: datetime | None = None) -> Iterator[Finding]:
    """The device's certificate and key, by the hub's clock where that is known: the one `here` may be wrong."""
    now = hubs or here
    if not who.certificate:
        yield wrong("certificate", "The identity holds no certificate.", JOIN_AGAIN)
        return
    try:
        own = x509.load_pem_x509_certificate(who.certificate.encode())
        key = serialization.load_pem_private_key(state.device_key.read_bytes(), password=None)
    except PermissionError as error:
        yield unknown("certificate", f"{error.filename} cannot be read.", "Run as root or as its owner.")
        return
    except (OSError, ValueError) as error:
        yield wrong("certificate", f"The certificate or the key cannot be read: {error}.", JOIN_AGAIN)
        return
    if own.public_key() != key.public_key():
        yield wrong("certificate", f"The certificate is for another key than {state.device_key}.", JOIN_AGAIN)
    elif own.not_valid_after_utc <= now:
        if_clock = "" if hubs is not None else "Set the clock right, if it is wrong. Else: "
        yield wrong("certificate", f"It has expired on {own.not_valid_after_utc:%Y-%m-%d}.", if_clock + JOIN_AGAIN)
    elif own.not_valid_before_utc > now:
        yield wrong(
            "certificate", f"It is valid from {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on.", "Set the clock right."
        )
    elif own.not_valid_after_utc - now < _SOON:
        yield warning("certificate", f"It expires on {own.not_valid_after_utc:%Y-%m-%d}.", JOIN_AGAIN)
    else:
        yield ok("certificate", f"Valid until {own.not_valid_after_utc:%Y-%m-%d}, and for this device's key.")


def clock(who: Identity | None, now: datetime, hubs: datetime | None) -> Finding:
    """The clock, against the hub's where that is known, else against when the device joined."""
    says = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    remedy = "Let it follow a time server: `timedatectl set-ntp true`, and see that the network lets it out."
    if hubs is not None:
        skew = now - hubs
        if abs(skew) <= _SKEW:
            return ok("clock", f"{says}, as the hub's.")
        side = "ahead of" if skew > timedelta() else "behind"
        return wrong("clock", f"{says}: {_span(abs(skew))} {side} the hub's.", remedy)
    if who is not None and now < who.issued_at - _SKEW:
        joined = who.issued_at.astimezone(UTC)
        return wrong("clock", f"{says}: before the device joined, on {joined:%Y-%m-%d}.", remedy)
    return unknown("clock", f"{says}; no hub is there to compare it with.")


def _span(span: timedelta) -> str:
    if span.days >= 730:
        return f"{span.days / 365.25:.0f} years"
    if span.days >= 2:
        return f"{span.days} days"
    return f"{span.total_seconds():.0f} s"
