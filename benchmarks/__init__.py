"""How fast it is, measured beside a peer and beside what the hardware can do: ``make bench``."""
