"""The budgets of the design, a script each: ``make bench`` runs them all and prints one table."""
