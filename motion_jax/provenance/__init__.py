"""What a film says of where it comes from, and how that is read again: metadata, C2PA, a mark."""
