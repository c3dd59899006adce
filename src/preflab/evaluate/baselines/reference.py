"""The reference responses of the corpus."""

from preflab.errors import PreflabError


def respond(_queries: list[str], references: list[str | None]) -> list[str]:
    """Raises if one is missing."""
    missing = sum(reference is None for reference in references)
    if missing:
        raise PreflabError(
            f"{missing} of the first {len(references)} queries have no reference response, and "
            "method=reference shows them; take a corpus with references, or another method"
        )
    return [str(reference) for reference in references]
