"""mmdet as an optional engine: its operators bridged, its configs read, its models trained and used."""
