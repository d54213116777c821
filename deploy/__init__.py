"""Everything that starts, checks and stops Last Metre on one machine: `python3 -m deploy`."""
