"""Tests of the board and the people's pages; a package, so that their stage ends with them."""
