"""What is known: frozen types of the cluster's objects, readings with their age, and the Situation that holds them."""
