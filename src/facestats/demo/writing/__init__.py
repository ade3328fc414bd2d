"""Writing their captions."""
