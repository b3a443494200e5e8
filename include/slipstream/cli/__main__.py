"""``python -m slipstream.cli``."""

from slipstream.cli.main import main

main()
