"""Chooses the representation that a client asked for in its `Accept` header (RFC 9110 §12.5.1)."""

from collections.abc import Iterable, Sequence


def negotiate(accept: str | None, offers: Sequence[str]) -> str | None:
    """Return the offer that the client likes best, or `None` where it accepts none.

    Equal in weight, the offer that the client named wins over one that a wildcard let in; then the
    earlier one wins. Without the header, the first offer is taken.
    """
    ranges = list(_ranges(accept or "")) or [("*/*", 1.0)]
    weighed = [(_weight(offer, ranges), offer) for offer in offers]
    best = max(weighed, key=lambda pair: pair[0])
    (quality, _), offer = best
    return offer if quality > 0 else None


def _ranges(accept: str) -> Iterable[tuple[str, float]]:
    """Read `"text/*;q=0.5, application/json"` as pairs of range and weight."""
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [value for key, _, value in (p.partition("=") for p in parameters) if key == "q"]
        if name:
            yield name, _quality(weights[0]) if weights else 1.0


def _quality(value: str) -> float:
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def _weight(offer: str, ranges: Iterable[tuple[str, float]]) -> tuple[float, int]:
    """Weigh an offer by the most specific range that covers it: `(weight, specificity)`."""
    specificity = {"*/*": 0, f"{offer.partition('/')[0]}/*": 1, offer: 2}
    matches = [(specificity[name], q) for name, q in ranges if name in specificity]
    if not matches:
        return 0.0, 0
    rank, quality = max(matches)
    return quality, rank
