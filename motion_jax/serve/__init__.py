"""Other programs ask for pictures: HTTP, WebSockets, and the protocols of RunwayML."""
