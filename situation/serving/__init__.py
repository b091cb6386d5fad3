"""Model servers: which pods are one, what they say of themselves, and what follows from it."""
