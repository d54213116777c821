"""What members and residents do here: the claim wall, their visits and hours, entering a wish for somebody, and following it."""
