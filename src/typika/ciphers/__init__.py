"""Signs as a cipher: symbols out of signs, their statistics, and the letters they stand for."""
