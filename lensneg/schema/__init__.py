"""What files hold: columns, records, checks. Each is declared once, as a type."""
