"""What a program costs, before and while it runs."""
