"""What a run will take: parameters, multiply-adds and memory, known before it starts."""
