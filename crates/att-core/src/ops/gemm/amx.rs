//! AMX: tiles of 16 rows of 64 bytes, of which a processor has eight.
//!
//! `tdpbf16ps` adds the product of a 16 x 32 tile (rows of the left factor) and a 32 x 16 tile
//! (stored as 16 rows of 16 pairs) to a 16 x 16 tile of f32; `tdpbusd` does the same with 64 numbers of 8
//! bits and sums of 32.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::sync::LazyLock;

use super::Line;

/// Rows of a tile.
pub(super) const TILE: usize = 16;

/// Whether processor and system have AMX with bf16, and the process may use it.
pub(super) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> =
        LazyLock::new(|| super::bf16::available() && has_tiles() && ask_for_tiles());
    *AVAILABLE
}

/// Whether there is AMX with int8 besides.
pub(super) fn int8_available() -> bool {
    const INT8: u32 = 1 << 25;
    available() && __cpuid_count(7, 0).edx & INT8 != 0
}

/// Whether the processor has the tiles (CPUID leaf 7: bits 22 and 24 of EDX) and the system saves
/// them (XCR0: bits 17 and 18).
fn has_tiles() -> bool {
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: called where the system uses XSAVE only.
        unsafe { _xgetbv(0) }
    }
    let features = __cpuid_count(7, 0).edx;
    // SAFETY: AVX-512, detected before, needs OSXSAVE.
    features & BF16_AND_TILE == BF16_AND_TILE && unsafe { xcr0() } & TILE_STATE == TILE_STATE
}

/// Linux gives the tiles' state to a process on request: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
#[cfg(target_os = "linux")]
fn ask_for_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XTILEDATA: i64 = 18;
    let status: i64;
    // SAFETY: a system call with numbers for arguments; it writes no memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => status,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    status == 0
}

#[cfg(not(target_os = "linux"))]
fn ask_for_tiles() -> bool {
    false
}

/// What `ldtilecfg` reads: all eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: TileConfig = {
    let mut config = TileConfig {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    let mut tile = 0;
    while tile < 8 {
        config.row_bytes[tile] = 64;
        config.rows[tile] = 16;
        tile += 1;
    }
    config
};

/// The tiles of a result, each 16 rows of 16: upper left, upper right, lower left, lower right.
#[repr(align(64))]
pub(super) struct Sums<T>(pub(super) [[T; TILE]; 4 * TILE]);

/// Defines a function that multiplies `depth` tiles of one or two groups of 16 rows with those of a
/// panel; where there is one group, the lower tiles of the sums stay as they are.
macro_rules! tile_product {
    ($name:ident, $sum:ty, $dot:literal) => {
        /// # Safety
        ///
        /// AMX must be there, with this instruction, and its [`Tiles`] ready.
        pub(super) unsafe fn $name(
            left: &[Line],
            panel: &[Line],
            depth: usize,
            two_groups: bool,
            sums: &mut MaybeUninit<Sums<$sum>>,
        ) {
            let groups = if two_groups { 2 } else { 1 };
            assert!(left.len() >= groups * depth * TILE && panel.len() >= 2 * depth * TILE);
            if two_groups {
                // SAFETY: reads `depth` tiles of each group and panel, and writes four tiles.
                unsafe {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3",
                        "test {n}, {n}",
                        "jz 3f",
                        "2:",
                        "tileloadd tmm4, [{upper} + {stride}*1]",
                        "tileloadd tmm6, [{b} + {stride}*1]",
                        "tileloadd tmm7, [{b} + {stride}*1 + 1024]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{lower} + {stride}*1]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        "add {upper}, 1024",
                        "add {lower}, 1024",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        "add {b}, 2048",
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        "dec {n}",
                        "jnz 2b",
                        "3:",
                        "tilestored [{out} + {stride}*1], tmm0",
                        "tilestored [{out} + {stride}*1 + 1024], tmm1",
                        "tilestored [{out} + {stride}*1 + 2048], tmm2",
                        "tilestored [{out} + {stride}*1 + 3072], tmm3",
                        n = inout(reg) depth => _,
                        upper = inout(reg) left.as_ptr() => _,
                        lower = inout(reg) left.as_ptr().add(depth * TILE) => _,
                        b = inout(reg) panel.as_ptr() => _,
                        stride = in(reg) 64usize,
                        out = in(reg) sums.as_mut_ptr(),
                        options(nostack),
                    );
                }
            } else {
                // SAFETY: reads `depth` tiles of the group and twice as many of the panel, writes
                // two tiles.
                unsafe {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "test {n}, {n}",
                        "jz 3f",
                        "2:",
                        "tileloadd tmm4, [{a} + {stride}*1]",
                        "tileloadd tmm6, [{b} + {stride}*1]",
                        "tileloadd tmm7, [{b} + {stride}*1 + 1024]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        "add {a}, 1024",
                        "add {b}, 2048",
                        "dec {n}",
                        "jnz 2b",
                        "3:",
                        "tilestored [{out} + {stride}*1], tmm0",
                        "tilestored [{out} + {stride}*1 + 1024], tmm1",
                        n = inout(reg) depth => _,
                        a = inout(reg) left.as_ptr() => _,
                        b = inout(reg) panel.as_ptr() => _,
                        stride = in(reg) 64usize,
                        out = in(reg) sums.as_mut_ptr(),
                        options(nostack),
                    );
                }
            }
        }
    };
}

tile_product!(bf16_tiles, f32, "tdpbf16ps");
tile_product!(int8_tiles, i32, "tdpbusd");

/// As long as it lives, this thread's tiles are ready. Given back after use, so that switches of threads
/// stay cheap.
pub(super) struct Tiles(());

impl Tiles {
    /// # Panics
    ///
    /// If there is no AMX.
    pub(super) fn new() -> Self {
        assert!(available());
        // SAFETY: AMX is there, and no other code uses tiles.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: AMX is there.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
