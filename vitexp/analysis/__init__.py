"""Statistics of finished runs: intervals over seeds and test images, verdicts, claims' tests."""
