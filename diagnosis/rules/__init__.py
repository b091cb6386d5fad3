"""The rules, one file per family, listed in `diagnosis.catalogue`. Imports none: panes read thresholds of a few."""
