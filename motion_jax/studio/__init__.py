"""Pages in the browser for the whole way from a film to a dance; the work is done by jobs."""
