//! Descriptors and swizzles against worked values: 128 rows or steps of k, from address 0x400 (the
//! start of the window) or 0x8000. PTX ISA, "Matrix descriptor format".

use kernels::kernel;
use kernels::simt::*;

kernel! {
    /// The descriptors of tiles at bytes 0 and 0x7c00 of the window, which is at address 0x400.
    pub fn descriptors(out: Global<u64>) {
        let tile = Shared::<Bf16>::at(0, 1 << 14);
        let far = Shared::<Bf16>::at(0x7c00, 1 << 13);
        let values = [
            Operand::<KMajor<128>>::at(tile, 0).descriptor(),
            Operand::<KMajor<64>>::at(tile, 0).descriptor(),
            Operand::<KMajor<32>>::at(tile, 0).descriptor(),
            Operand::<MnMajor<128, 16384>>::at(far, 0).descriptor(),
            Operand::<MnMajor<64, 8192>>::at(far, 0).descriptor(),
            Operand::<MnMajor<32, 4096>>::at(far, 0).descriptor(),
            Operand::<KMajor<128>>::at(tile, 0).step::<32>().descriptor(),
            Operand::<MnMajor<128, 16384>>::at(far, 0).step::<2048>().descriptor(),
        ];
        if thread_idx() == 0 {
            let mut i = 0;
            while i < 8 {
                out.st(i, values[i]);
                i += 1;
            }
        }
    }
}

#[test]
fn descriptors_have_the_worked_values() {
    let out = Buffer::unset(8);
    let launch = Launch::new(1, 32, 0x7c00 + (1 << 14));
    emulate(&launch, &descriptors { out: out.arg() }, &Emulation::default()).expect("no fault");
    let want = [
        0x4000_0040_0001_0040_u64,
        0x8000_0020_0001_0040,
        0xc000_0010_0001_0040,
        0x4000_0040_0400_0800,
        0x8000_0020_0200_0800,
        0xc000_0010_0100_0800,
        0x4000_0040_0001_0042,
        0x4000_0040_0400_0880,
    ];
    assert_eq!(out.to_vec(), want);
}

#[test]
fn swizzles_permute_the_pieces_of_a_row_by_the_row() {
    for (swizzle, by) in [
        (Swizzle::B128, (|row| row & 7) as fn(u32) -> u32),
        (Swizzle::B64, |row| row >> 1 & 3),
        (Swizzle::B32, |row| row >> 2 & 1),
        (Swizzle::None, |_| 0),
    ] {
        let width = swizzle.width_bytes();
        for row in 0..32 {
            for piece in 0..width / 16 {
                let want = row * width + (piece ^ by(row)) * 16 + 6;
                assert_eq!(swizzle.apply(row * width + piece * 16 + 6), want, "{swizzle:?}");
            }
        }
    }
    for (row, column) in (0..64).flat_map(|row| (0..64).map(move |column| (row, column))) {
        let address = Swizzle::B128.apply(row * 128 + column * 2);
        assert_eq!(swizzled_128b(row, column) * 2, address);
    }
}
