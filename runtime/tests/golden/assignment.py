import numpy

CASES = [
    (0, 0, 10, 10),
    (1, 2, 10, 3),
    (3, 5, 100, 99),
    (7, 1, 5000, 5000),
    (9, 9, 9999, 9999),
    (2, 77, 10000, 9000),
    (11, 4, 10001, 200),
    (11, 4, 10001, 201),
    (65535, 123456789, 10001, 10001),
    (250, 4294967296 + 17, 1 << 20, 20971),
    (250, 4294967296 + 17, 1 << 20, 20972),
    (4, 8, (1 << 32) - 1, 50),
    (4, 8, 1 << 32, 50),
    (5, 8, (1 << 32) + 1, 50),
    (6, 8, 1 << 40, 50),
]
for uid, window, of, size in CASES:
    seed = ((uid * 1_000_003) ^ window) & 0xFFFFFFFF
    samples = numpy.random.default_rng(seed).choice(of, size=size, replace=False)
    hashed = 0
    for sample in samples:
        hashed = (hashed * 1_000_003 + int(sample)) % (1 << 64)
    print(f"({uid}, {window}, {of}, {size}, {samples[:3].tolist()}, {hashed}),")
for seed in (0, 72, 2**32 + 5, 2**64 - 1):
    rng = numpy.random.default_rng(seed)
    print(f"({seed}, {rng.integers(0, 2**64, 3, dtype=numpy.uint64, endpoint=False).tolist()}),")
