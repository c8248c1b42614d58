//! Every instruction that computes, over every combination of operands that compilers, processors and libraries are known to
//! treat differently: NaNs with payloads, infinities, zeroes, denormal numbers, halves, limits of integers.

use super::instructions::{self, Instruction, Operand};
use super::looking;

/// A group of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Integers,
    Floats,
    Conversions,
    SmallLanes,
    LargeLanes,
    FloatLanes,
    /// Everything whose NaNs must be canonical: shows how many are not, for each instruction.
    NotANumber,
    RelaxedMadd,
    /// The NaNs of that one.
    RelaxedMaddNotANumber,
    RelaxedMinMax,
    RelaxedTruncation,
    RelaxedSwizzle,
    RelaxedLaneselect,
    RelaxedQ15,
    RelaxedDot,
}

impl Family {
    /// Its instructions.
    pub fn instructions(self) -> Vec<Instruction> {
        match self {
            Self::Integers => instructions::integers(),
            Self::Floats => instructions::floats(),
            Self::Conversions => instructions::conversions(),
            Self::SmallLanes => instructions::small_lanes(),
            Self::LargeLanes => instructions::large_lanes(),
            Self::FloatLanes => instructions::float_lanes(),
            Self::NotANumber => instructions::computing(),
            Self::RelaxedMadd | Self::RelaxedMaddNotANumber => instructions::relaxed_madd(),
            Self::RelaxedMinMax => instructions::relaxed_min_max(),
            Self::RelaxedTruncation => instructions::relaxed_truncation(),
            Self::RelaxedSwizzle => instructions::relaxed_swizzle(),
            Self::RelaxedLaneselect => instructions::relaxed_laneselect(),
            Self::RelaxedQ15 => instructions::relaxed_q15(),
            Self::RelaxedDot => instructions::relaxed_dot(),
        }
    }
}

const F64S: [u64; 24] = [
    0x0000_0000_0000_0000,
    0x8000_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0001,
    0x3fe0_0000_0000_0000,
    0xbfe0_0000_0000_0000,
    0x3ff8_0000_0000_0000,
    0x4004_0000_0000_0000,
    0x0000_0000_0000_0001,
    0x800f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
    0x7ff4_0000_dead_beef,
    0xffff_ffff_ffff_ffff,
    0x41df_ffff_ffff_ffff,
    0xc1e0_0000_0020_0000,
    0x41ef_ffff_ffff_fffe,
    0x43e0_0000_0000_0000,
    0x36a0_0000_0000_0001,
    0x47ef_ffff_f000_0000,
];

const F32S: [u32; 24] = [
    0x0000_0000,
    0x8000_0000,
    0x3f80_0000,
    0xbf80_0001,
    0x3f00_0000,
    0xbf00_0000,
    0x3fc0_0000,
    0x4020_0000,
    0x0000_0001,
    0x807f_ffff,
    0x0080_0000,
    0x7f7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_0000,
    0x7fa5_beef,
    0xffff_ffff,
    0x4eff_ffff,
    0xcf00_0001,
    0x4f7f_ffff,
    0x5f00_0000,
    0x4b00_0001,
    0xcb7f_ffff,
];

const INTEGERS: [u64; 24] = [
    0,
    1,
    2,
    0xffff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x8000,
    0x7fff,
    0xff80,
    0x7f,
    0x80,
    31,
    32,
    33,
    63,
    64,
    0x0123_4567_89ab_cdef,
    0xdead_beef_cafe_babe,
    0x0020_0000_0000_0001,
    0x5555_5555_aaaa_aaaa,
];

const COUNT: usize = 24;
/// Where the tables lie, on a page of their own memory.
const OF_I64: usize = 0;
const OF_F64: usize = 512;
const OF_F32: usize = 1_024;
const OF_V128: usize = 2_048;

/// Vectors: of doubles, of singles, and of integers, neighbours side by side.
fn vectors() -> Vec<[u8; 16]> {
    let mut all = Vec::new();
    for (at, double) in F64S.iter().enumerate() {
        let next = |step: usize| (at * 5 + step * 7 + 3) % COUNT;
        let pair = |low: u64, high: u64| (u128::from(low) | u128::from(high) << 64).to_le_bytes();
        all.push(match at % 3 {
            0 => pair(*double, F64S[next(1)]),
            1 => {
                let single = |step| u64::from(F32S[next(step)]);
                pair(single(0) | single(1) << 32, single(2) | single(3) << 32)
            }
            _ => pair(INTEGERS[next(0)], INTEGERS[next(1)]),
        });
    }
    // Each value in each kind of lane at least once.
    all.extend((0..COUNT / 2).map(|at| (u128::from(F64S[at]) | u128::from(F64S[at + 12]) << 64).to_le_bytes()));
    all.extend(
        F32S.chunks(4)
            .map(|four| four.iter().rev().fold(0_u128, |all, single| all << 32 | u128::from(*single)).to_le_bytes()),
    );
    all
}

fn escaped(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("\\{byte:02x}")).collect()
}

fn tables() -> String {
    let parts = [
        (OF_I64, escaped(INTEGERS.iter().flat_map(|value| value.to_le_bytes()))),
        (OF_F64, escaped(F64S.iter().flat_map(|value| value.to_le_bytes()))),
        (OF_F32, escaped(F32S.iter().flat_map(|value| value.to_le_bytes()))),
        (OF_V128, escaped(vectors().into_iter().flatten())),
    ];
    parts.iter().map(|(at, bytes)| format!("(data (memory $tables) (i32.const {at}) \"{bytes}\")\n")).collect()
}

/// How many operands of a kind there are.
fn count(operand: Operand) -> usize {
    if operand == Operand::V128 { vectors().len() } else { COUNT }
}

/// The operand with the number in a local variable.
fn load(operand: Operand, local: &str) -> String {
    let at = |size: usize| format!("(i32.mul (local.get {local}) (i32.const {size}))");
    match operand {
        Operand::I32 => format!("(i32.load $tables offset={OF_I64} {})", at(8)),
        Operand::I64 => format!("(i64.load $tables offset={OF_I64} {})", at(8)),
        Operand::F64 => format!("(f64.load $tables offset={OF_F64} {})", at(8)),
        Operand::F32 => format!("(f32.load $tables offset={OF_F32} {})", at(4)),
        Operand::V128 => format!("(v128.load $tables offset={OF_V128} {})", at(16)),
    }
}

/// The number of bits of a result that are a NaN and not the canonical one, or the result itself mixed into what there was.
fn fold(leaves: Operand, wide: bool, checking: bool) -> String {
    let mixed = |value: &str| {
        format!("(i64.mul (i64.xor (i64.rotl (local.get $sum) (i64.const 17)) {value}) (i64.const 0x100000001b3))")
    };
    if checking {
        let lanes = |of: &str, bits: &str, canonical: &str| {
            format!(
                "(i64.add (local.get $sum) (i64.extend_i32_u ({bits}.bitmask (v128.and
                  ({of}.ne (local.get $v) (local.get $v))
                  ({bits}.ne (local.get $v) ({bits}.splat ({canonical})))))))"
            )
        };
        return if wide {
            lanes("f64x2", "i64x2", "i64.const 0x7ff8000000000000")
        } else {
            lanes("f32x4", "i32x4", "i32.const 0x7fc00000")
        };
    }
    match leaves {
        Operand::I32 => mixed("(i64.extend_i32_u (local.get $r))"),
        Operand::I64 => mixed("(local.get $r)"),
        Operand::F32 => mixed("(i64.extend_i32_u (i32.reinterpret_f32 (local.get $r)))"),
        Operand::F64 => mixed("(i64.reinterpret_f64 (local.get $r))"),
        Operand::V128 => mixed(
            "(i64.xor (i64x2.extract_lane 0 (local.get $r)) (i64.rotl (i64x2.extract_lane 1 (local.get $r)) (i64.const 23)))",
        ),
    }
}

fn wasm(operand: Operand) -> &'static str {
    match operand {
        Operand::I32 => "i32",
        Operand::I64 => "i64",
        Operand::F32 => "f32",
        Operand::F64 => "f64",
        Operand::V128 => "v128",
    }
}

/// A function that runs one instruction over all combinations of operands.
fn function(number: usize, instruction: &Instruction, checking: bool) -> String {
    let Instruction { name, takes, leaves } = instruction;
    let locals = ["$a", "$b", "$c"];
    let mut operands: Vec<String> = takes.iter().zip(locals).map(|(of, local)| load(*of, local)).collect();
    if name.contains(".div_") || name.contains(".rem_") {
        let (of, greatest) = if takes[0] == Operand::I32 { ("i32", i64::from(i32::MAX)) } else { ("i64", i64::MAX) };
        operands[1] = format!("({of}.or ({of}.and {} ({of}.const {greatest})) ({of}.const 1))", operands[1]);
    }
    // A NaN is looked for in a vector, whatever it was computed in.
    let (kind, local) = (wasm(*leaves), "$r");
    let as_vector = match leaves {
        Operand::F32 => "(local.set $v (f32x4.splat (local.get $r)))",
        Operand::F64 => "(local.set $v (f64x2.splat (local.get $r)))",
        Operand::V128 => "(local.set $v (local.get $r))",
        _ => "",
    };
    let wide = *leaves == Operand::F64 || name.starts_with("f64x2");
    let mut body = format!(
        "(local.set {local} ({name} {})) {} (local.set $sum {})",
        operands.join(" "),
        if checking { as_vector } else { "" },
        fold(*leaves, wide, checking)
    );
    for (depth, (of, local)) in takes.iter().zip(locals).enumerate().rev() {
        // The third operand of three is only sampled: enough, and much faster.
        let step = if depth == 2 { 3 } else { 1 };
        body = format!(
            "(local.set {local} (i32.const 0)) (loop $loop{depth} {body}
              (local.set {local} (i32.add (local.get {local}) (i32.const {step})))
              (br_if $loop{depth} (i32.lt_u (local.get {local}) (i32.const {}))))",
            count(*of)
        );
    }
    format!(
        ";; {name}
  (func $op{number} (result i64) (local $a i32) (local $b i32) (local $c i32) (local $sum i64) (local $r {kind}) (local $v v128)
    {body} (local.get $sum))\n"
    )
}

/// A component that shows, for each instruction of a family, eight bytes that stand for all its results.
pub fn numeric(family: Family) -> Vec<u8> {
    let instructions = family.instructions();
    let checking = matches!(family, Family::NotANumber | Family::RelaxedMaddNotANumber);
    let functions: String =
        instructions.iter().enumerate().map(|(number, instruction)| function(number, instruction, checking)).collect();
    let calls: String = (0..instructions.len())
        .map(|number| format!("(i64.store offset={} (local.get $at) (call $op{number}))", number * 8))
        .collect();
    let bytes = instructions.len() * 8;
    looking(&format!("(memory $tables 1)\n{}\n{functions}", tables()), &format!("{calls} (i32.const {bytes})"))
}
