"""Colour themes as data. The keys are explained in `midwatch-dark.toml`; `tui.themes` reads and checks them."""
