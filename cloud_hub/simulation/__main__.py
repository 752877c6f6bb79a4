"""`python -m cloud_hub.simulation`: what `vedette rollouts simulate` starts."""

import sys

from cloud_hub.simulation.command import main

if __name__ == "__main__":
    sys.exit(main())
