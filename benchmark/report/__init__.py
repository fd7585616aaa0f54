"""From records to tables; never imports torch."""
