"""What the operator writes: the campaign file (`definition`), the settings, and the values in them."""
