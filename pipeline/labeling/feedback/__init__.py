"""What people say, taken in: answers merged into labels, audits, acceptance and effort."""
