"""What every command does around its work: turn errors into one line and an exit status, switch telemetry off.

if __name__ == "__main__":
    cli.main(run)
"""

import errno
import gc
import logging
import os
import sys
from collections.abc import Callable

from preflab import telemetry
from preflab.errors import PreflabError

# A waiting thread of OpenMP (libgomp, which torch for Linux brings) spins for milliseconds on a core that another
# process may need.  With this variable it sleeps after 1,000 rounds.  Ours: `python -m benchmarks.run waiting`.
SPINS = {"GOMP_SPINCOUNT": "1000"}

USER_ERROR = 2
INTERRUPTED = 130
CLOSED_PIPE = 141

_REMEDY = {
    errno.EROFS: "the file system is read-only; run where you may write",
    errno.EACCES: "no permission; make it writable for you (chmod u+w) or run elsewhere",
    errno.EPERM: "not permitted; make it writable for you (chmod u+w) or run elsewhere",
    errno.ENOSPC: "the disk is full; free some space, then run the same command again",
    errno.EDQUOT: "your quota is used up; free some space, then run the same command again",
}


def main(run: Callable[[], int | None]) -> None:
    """Call `run` and exit with the status that it returns (None is 0), 2 after a PreflabError, 130 after Ctrl-C,
    141 after the end of a pipe it writes to.

    Errors of the file system that a user can repair give 2 as well.  Any other exception is a bug and keeps its
    traceback.
    """
    telemetry.off()
    if "OMP_WAIT_POLICY" not in os.environ:  # a value that the user has set is kept
        for name, value in SPINS.items():  # read when torch is imported
            os.environ.setdefault(name, value)
    gc.set_threshold(100_000, 50, 50)  # garbage collection takes a second of importing torch and transformers …
    logging.basicConfig(level=os.environ.get("PREFLAB_LOG", "WARNING"), format="%(name)s: %(message)s")
    try:
        status = run()
    except PreflabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        if error.errno not in _REMEDY:
            raise
        print(f"error: {error.filename or 'writing'}: {_REMEDY[error.errno]}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept, and the same command continues", file=sys.stderr)
        sys.exit(INTERRUPTED)
    gc.freeze()  # … and two seconds of exiting
    sys.exit(status or 0)
