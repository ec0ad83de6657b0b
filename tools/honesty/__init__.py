"""How honest the verdicts are and what they find, on made-up tables of which the truth is known."""
