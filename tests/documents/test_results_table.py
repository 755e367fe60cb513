import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_table_of_results_is_that_of_the_measurements():
    checked = subprocess.run(
        [sys.executable, ROOT / "benchmarks/results.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
