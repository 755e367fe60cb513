"""`python -m hsipipe.cli`."""

import sys

from hsipipe.cli import main

sys.exit(main())
