"""Put what was built under a run's root."""
