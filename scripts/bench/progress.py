"""What the user sees while a benchmark runs: on a terminal one line that changes, elsewhere one line after the other."""

import sys


def progress(text):
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
    else:
        print(text, flush=True)


def result(*lines):
    """Something that stays."""
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    print(*lines, sep="\n", flush=True)
