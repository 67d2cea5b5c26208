"""A made world: companies whose books balance, their tables, and questions about them."""
