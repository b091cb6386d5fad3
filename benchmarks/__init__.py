"""The budgets of the design, measured. `make bench` prints them; tests do not time."""
