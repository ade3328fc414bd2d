"""What every stage stands on: tables, store, settings, pictures, workers, progress."""
