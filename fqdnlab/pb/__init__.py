"""Messages and services made from proto/ by ``make proto``; only this file is kept in git."""
