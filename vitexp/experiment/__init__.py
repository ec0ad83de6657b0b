"""What every study is made of: its plan, its seeds, its searches, its ledger."""
