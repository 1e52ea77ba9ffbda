"""Holdfast's front door: `python3 main.py` sets itself up on first use, then does what argv says."""

import sys

if sys.version_info < (3, 11):
    # Everything above this line parses on old Pythons too, and nothing below is read before it:
    # they get one sentence instead of a SyntaxError.
    import shutil

    newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if shutil.which(name)]
    sys.stderr.write(
        "error: Holdfast needs Python 3.11 or newer; this is %d.%d (%s).\nhint: %s\n"
        % (
            sys.version_info[0],
            sys.version_info[1],
            sys.executable,
            newer[0] + " main.py" if newer else "install a newer Python, then: python3.11 main.py",
        )
    )
    sys.exit(2)

if __name__ == "__main__":
    from pathlib import Path

    from framework.setup_env import ensure_environment

    root = Path(__file__).resolve().parent
    ensure_environment(root, sys.argv[1:])

    from framework.cli.app import entry_point

    entry_point(root)
