"""How far pictures are from other pictures, as numbers."""
