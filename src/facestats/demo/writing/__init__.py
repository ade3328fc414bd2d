"""Write captions about drawn characters."""
