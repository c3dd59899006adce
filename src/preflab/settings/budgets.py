"""`${budget:N,SCALE,MULTIPLE}` in conf/: the paper's budget N × SCALE, rounded down to a multiple (at least one)."""

from fractions import Fraction

from preflab.errors import PreflabError


def register_resolvers() -> None:
    """Make it known to OmegaConf."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("budget", budget, replace=True)


def budget(full: int, scale: object, multiple: object) -> int:
    """`budget(5000, "1/20", 8)` is 248: 250 rounded down to a multiple of 8 (as the released code's 4,992 of 5,000)."""
    try:
        scaled = int(full * Fraction(str(scale)))
    except (ValueError, ZeroDivisionError) as error:
        raise PreflabError(f"scale={scale}: expected a number or a fraction such as 1/20") from error
    if scaled <= 0:
        raise PreflabError(f"scale={scale}: {full} × {scale} leaves nothing; take a larger scale")
    size = multiple if isinstance(multiple, int) and multiple > 0 else 1  # a batch that is no such number is reported
    return max(scaled // size, 1) * size
