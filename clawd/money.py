"""Amounts of money in words. Pure."""

from __future__ import annotations


def money(usd: float) -> str:
    """Return dollars for people: in cents, and below a dollar with as many digits as tell 0.035 from 0.04."""
    if usd <= 0:
        return "$0"
    if usd >= 1:
        return f"${usd:,.2f}"
    if usd < 0.0001:
        return f"${usd:.6f}".rstrip("0") if usd >= 0.000001 else "<$0.000001"
    whole, _, digits = f"{usd:.4f}".partition(".")
    return f"${whole}.{digits.rstrip('0'):0<2}"
