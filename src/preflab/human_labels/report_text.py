"""The report of an ingest as lines of text."""

from collections.abc import Iterator

from preflab.human_labels.ingest import IngestReport
from preflab.human_labels.survey import LabelStatistics, LengthStatistics

SHOWN = 20  # tasks and files that are named (ours)
MANY = 20  # rows (ours) in which one position does not win by chance
WIDTH = 12  # of the headings


def lines(report: IngestReport) -> Iterator[str]:
    """What the files hold, a subject a line; every rejected row; whether the labels were accepted."""
    statistics = report.summary
    formats = ", ".join(f"{name} {count:,}" for name, count in report.formats.items())
    yield _line("labels", f"{report.path}: {_plural(report.files, 'file')}; rows by format: {formats}")
    if report.others:
        more = f" and {len(report.others) - SHOWN:,} more" * (len(report.others) > SHOWN)
        yield _line("not read", f"no labels by their names: {', '.join(report.others[:SHOWN])}{more}")
    if statistics.rows:
        yield from _statistics(statistics)
    yield from _tokens(report)
    for reason, count in report.skipped.items():
        yield _line("skipped", f"{count:,} {reason}")
    yield _line("rejected", _plural(len(report.rejected), "row"))
    for rejected in report.rejected:
        yield f"  {rejected.file} row {rejected.row}: {rejected.reason}"
    if report.refused:
        yield _line("refused", "nothing was accepted")
    else:
        dropped = f", {_plural(len(report.rejected), 'rejected row')} dropped" if report.rejected else ""
        yield _line("accepted", f"{_plural(statistics.rows, 'row')}{dropped}")


def _statistics(survey: LabelStatistics) -> Iterator[str]:
    choices = survey.rows - survey.ratings
    kinds = [_plural(n, kind) for n, kind in ((choices, "choice"), (survey.ratings, "rating")) if n]
    who = f"by {_plural(survey.labellers, 'labeller')}" if survey.labellers else "labellers not named"
    yield _line("rows", f"{' and '.join(kinds)}, {who}; {_plural(survey.queries, 'different query')}")
    tasks = [f"{task or 'not named'} {count:,}" for task, count in list(survey.tasks.items())[:SHOWN]]
    yield _line("tasks", ", ".join(tasks) + f" and {len(survey.tasks) - SHOWN:,} more" * (len(survey.tasks) > SHOWN))
    for lengths in survey.lengths:
        yield _line(lengths.what, _length(lengths))
    yield _line("ties", _share(survey.ties, choices))
    yield _line("duplicates", f"{_share(survey.duplicates, survey.rows)} repeat an earlier row, answer and labeller")
    yield _line(
        "identical",
        f"{_share(survey.some_alike, choices)} have a sample twice; in {survey.all_alike:,} all are the same, "
        f"in {survey.twins:,} the best one is among them",
    )
    yield _line("empty", f"{_share(survey.empty, survey.rows)} have an empty sample")
    agreement = survey.agreement
    if agreement.pairs:
        yield _line(
            "agreement",
            f"{agreement.alike / agreement.pairs:.1%} of {_plural(agreement.pairs, 'pair')} of answers "
            f"to {_plural(agreement.questions, 'question')} answered more than once",
        )
    else:
        yield _line("agreement", "no question was answered by two labellers")
    for n, won in survey.positions.items():
        yield _line(f"won of {n}", _positions(won))


def _positions(won: list[int]) -> str:
    total = sum(won)
    shares = ", ".join(f"{i}: {count / total:.1%}" for i, count in enumerate(won))
    if total >= MANY and max(won) == total:
        return f"{shares} (always the same: the file does not say in which order labellers saw them)"
    return f"{shares} (even: {1 / len(won):.1%})"


def _tokens(report: IngestReport) -> Iterator[str]:
    tokens = report.tokens
    if tokens.rows and tokens.tokenizer and tokens.kept:
        yield _line("tokens", f"{tokens.tokenizer} has GPT-2's vocabulary: the ids of the labels are kept")
    elif tokens.rows and tokens.tokenizer:
        ratios = [f"{what} {ratio:.2f}" for what, ratio in _ratios(report.summary.lengths)]
        yield _line(
            "tokens",
            f"{_plural(tokens.rows, 'row')} decoded with GPT-2's tokenizer and re-tokenised with that of "
            f"{tokens.tokenizer}; times as many tokens as before: {', '.join(ratios)}",
        )
    if tokens.broken:
        yield _line("broken", f"{_plural(tokens.broken, 'text')} cut inside a character, U+FFFD stands for it")


def _ratios(lengths: list[LengthStatistics]) -> Iterator[tuple[str, float]]:
    """By how much the mean lengths of queries and responses changed; the first unit is GPT-2's."""
    for what in ("query", "response"):
        before, after = [each.mean for each in lengths if each.what == what and each.unit != "words"][:2]
        yield what, after / before if before else 1.0


def _length(of: LengthStatistics) -> str:
    return f"{of.mean:.1f} {of.unit} in the mean, {of.low:,} to {of.high:,}, median {of.median:,}"


def _line(heading: str, text: str) -> str:
    return f"{heading:<{WIDTH}}{text}"


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if count else "0"


def _plural(count: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
