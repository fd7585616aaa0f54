"""Do the metrics of explanations measure anything? Meta-evaluation, controls, and the verdict on each metric."""
