"""Running the notebooks, their report, and the widgets inside them."""
