"""What people see: console, figures, pages, and what is handed out."""
