"""How sure a number is: intervals, the comparison of two arms, and what both are worth in simulations."""
