"""`python -m hsipipe`."""

import sys

from hsipipe.cli import main

sys.exit(main())
