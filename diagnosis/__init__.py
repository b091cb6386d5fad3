"""Pure rules over the Situation, and the engine that ranks causes and folds consequences. No I/O, no clock."""
