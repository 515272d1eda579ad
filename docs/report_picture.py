"""Draw docs/report.png, the top of a report: python docs/report_picture.py REPORT.html."""

import subprocess
import sys
import tempfile
from pathlib import Path

#: Pixels across, and down to the end of the first maps.
SIZE = (1200, 1460)


def main() -> None:
    """Let Chromium draw the page."""
    picture = Path(__file__).with_name("report.png")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={profile}",
                f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={picture}",
                Path(sys.argv[1]).absolute().as_uri(),
            ],
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
