"""What a failed check of a server's certificate means, without importing TLS where there is none."""

#: OpenSSL's words for a certificate whose time has not come, or is over.
_TIME_IS_WRONG = frozenset({9, 10})


def distrust(error: BaseException) -> tuple[str, str] | None:
    """Why the server cannot be trusted, and what to do about it; None when `error` is about something else."""
    if not getattr(error, "verify_code", 0):
        return None
    why = str(getattr(error, "verify_message", "")) or str(error)
    if getattr(error, "verify_code", 0) in _TIME_IS_WRONG:
        return why, "If this device's clock is wrong, set it."
    return why, ""
