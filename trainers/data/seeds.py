"""Random numbers that depend on where they are drawn in a run, and on nothing that was drawn before."""


def mix(*key: int) -> int:
    """One 63-bit seed from several numbers, by SplitMix64's finaliser (Steele, Lea, Flood 2014)."""
    # NumPy's SeedSequence would do as well, but a run must go on with the numbers with which it began.
    state = 0
    for number in key:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
