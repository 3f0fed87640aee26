"""What goes out: action spaces, heads, decisions and guards."""
