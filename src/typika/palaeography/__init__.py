"""What prototypes say of documents, hands and scripts, letter by letter."""
