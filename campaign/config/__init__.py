"""Read what the operator writes: the campaign file (`definition`), the settings (`settings`), and their values."""
