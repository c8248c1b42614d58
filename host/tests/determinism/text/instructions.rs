//! The instructions of WebAssembly that compute, by their operands.

/// What an instruction takes and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    I32,
    I64,
    F32,
    F64,
    V128,
}

/// One instruction.
#[derive(Clone, Debug)]
pub struct Instruction {
    pub name: String,
    pub takes: Vec<Operand>,
    pub leaves: Operand,
}

use Operand::{F32, F64, I32, I64, V128};

fn each(names: &str, takes: &[Operand], leaves: Operand) -> Vec<Instruction> {
    let instruction = |name: &str| Instruction { name: name.to_owned(), takes: takes.to_vec(), leaves };
    names.split_whitespace().map(instruction).collect()
}

/// With each of these in front, `_` standing for the type.
fn typed(prefix: &str, names: &str, takes: &[Operand], leaves: Operand) -> Vec<Instruction> {
    let names: Vec<String> = names.split_whitespace().map(|name| format!("{prefix}.{name}")).collect();
    each(&names.join(" "), takes, leaves)
}

pub fn integers() -> Vec<Instruction> {
    let mut all = Vec::new();
    for (prefix, of) in [("i32", I32), ("i64", I64)] {
        all.extend(typed(prefix, "clz ctz popcnt extend8_s extend16_s", &[of], of));
        all.extend(typed(prefix, "add sub mul and or xor shl shr_s shr_u rotl rotr", &[of, of], of));
        all.extend(typed(prefix, "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u", &[of, of], I32));
        all.extend(typed(prefix, "eqz", &[of], I32));
        // What divides is made odd and positive, so that nothing traps.
        all.extend(typed(prefix, "div_s div_u rem_s rem_u", &[of, of], of));
    }
    all.extend(each("i64.extend32_s", &[I64], I64));
    all
}

pub fn floats() -> Vec<Instruction> {
    let mut all = Vec::new();
    for (prefix, of) in [("f32", F32), ("f64", F64)] {
        all.extend(typed(prefix, "abs neg ceil floor trunc nearest sqrt", &[of], of));
        all.extend(typed(prefix, "add sub mul div min max copysign", &[of, of], of));
        all.extend(typed(prefix, "eq ne lt gt le ge", &[of, of], I32));
    }
    all
}

pub fn conversions() -> Vec<Instruction> {
    [
        each("i32.wrap_i64", &[I64], I32),
        each("i64.extend_i32_s i64.extend_i32_u", &[I32], I64),
        each("f32.demote_f64", &[F64], F32),
        each("f64.promote_f32", &[F32], F64),
        each("f32.convert_i32_s f32.convert_i32_u f32.reinterpret_i32", &[I32], F32),
        each("f32.convert_i64_s f32.convert_i64_u", &[I64], F32),
        each("f64.convert_i32_s f64.convert_i32_u", &[I32], F64),
        each("f64.convert_i64_s f64.convert_i64_u f64.reinterpret_i64", &[I64], F64),
        each("i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.reinterpret_f32", &[F32], I32),
        each("i32.trunc_sat_f64_s i32.trunc_sat_f64_u", &[F64], I32),
        each("i64.trunc_sat_f32_s i64.trunc_sat_f32_u", &[F32], I64),
        each("i64.trunc_sat_f64_s i64.trunc_sat_f64_u i64.reinterpret_f64", &[F64], I64),
    ]
    .concat()
}

const COMPARISONS: &str = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
const UNARY: &[Operand] = &[V128];
const BINARY: &[Operand] = &[V128, V128];
const TERNARY: &[Operand] = &[V128, V128, V128];

pub fn small_lanes() -> Vec<Instruction> {
    let extended = "extend_low_i8x16_s extend_low_i8x16_u extend_high_i8x16_s extend_high_i8x16_u \
        extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u";
    let multiplied = "extmul_low_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_s extmul_high_i8x16_u";
    let saturated = "add sub add_sat_s add_sat_u sub_sat_s sub_sat_u min_s min_u max_s max_u avgr_u";
    let mut all = each("v128.not", UNARY, V128);
    all.extend(each("v128.and v128.andnot v128.or v128.xor", BINARY, V128));
    all.extend(each("v128.bitselect", TERNARY, V128));
    all.extend(each("v128.any_true", UNARY, I32));
    for prefix in ["i8x16", "i16x8"] {
        all.extend(typed(prefix, "abs neg", UNARY, V128));
        all.extend(typed(prefix, saturated, BINARY, V128));
        all.extend(typed(prefix, COMPARISONS, BINARY, V128));
        all.extend(typed(prefix, "shl shr_s shr_u", &[V128, I32], V128));
        all.extend(typed(prefix, "all_true bitmask", UNARY, I32));
        all.extend(typed(prefix, "splat", &[I32], V128));
    }
    all.extend(typed("i8x16", "popcnt", UNARY, V128));
    all.extend(typed("i8x16", "swizzle narrow_i16x8_s narrow_i16x8_u", BINARY, V128));
    all.extend(typed("i16x8", extended, UNARY, V128));
    all.extend(typed("i16x8", multiplied, BINARY, V128));
    all.extend(typed("i16x8", "mul q15mulr_sat_s narrow_i32x4_s narrow_i32x4_u", BINARY, V128));
    all
}

pub fn large_lanes() -> Vec<Instruction> {
    let mut all = Vec::new();
    for (prefix, half) in [("i32x4", "i16x8"), ("i64x2", "i32x4")] {
        all.extend(typed(prefix, "abs neg", UNARY, V128));
        all.extend(typed(prefix, "add sub mul", BINARY, V128));
        all.extend(typed(prefix, "eq ne lt_s gt_s le_s ge_s", BINARY, V128));
        all.extend(typed(prefix, "shl shr_s shr_u", &[V128, I32], V128));
        all.extend(typed(prefix, "all_true bitmask", UNARY, I32));
        for (part, sign) in [("low", "s"), ("low", "u"), ("high", "s"), ("high", "u")] {
            all.extend(typed(prefix, &format!("extend_{part}_{half}_{sign}"), UNARY, V128));
            all.extend(typed(prefix, &format!("extmul_{part}_{half}_{sign}"), BINARY, V128));
        }
    }
    all.extend(typed("i32x4", "lt_u gt_u le_u ge_u min_s min_u max_s max_u dot_i16x8_s", BINARY, V128));
    all.extend(typed("i32x4", "extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u", UNARY, V128));
    all.extend(typed("i32x4", "splat", &[I32], V128));
    all.extend(typed("i64x2", "splat", &[I64], V128));
    all
}

pub fn float_lanes() -> Vec<Instruction> {
    let mut all = Vec::new();
    for (prefix, of) in [("f32x4", F32), ("f64x2", F64)] {
        all.extend(typed(prefix, "abs neg sqrt ceil floor trunc nearest", UNARY, V128));
        all.extend(typed(prefix, "add sub mul div min max pmin pmax eq ne lt gt le ge", BINARY, V128));
        all.extend(typed(prefix, "splat", &[of], V128));
    }
    all.extend(typed("f32x4", "convert_i32x4_s convert_i32x4_u demote_f64x2_zero", UNARY, V128));
    all.extend(typed("f64x2", "convert_low_i32x4_s convert_low_i32x4_u promote_low_f32x4", UNARY, V128));
    let truncated = "trunc_sat_f32x4_s trunc_sat_f32x4_u trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero";
    all.extend(typed("i32x4", truncated, UNARY, V128));
    all
}

/// Those whose result is computed, so that a NaN among them must be the canonical one.
pub fn computing() -> Vec<Instruction> {
    let mut all = Vec::new();
    for (prefix, of) in [("f32", F32), ("f64", F64)] {
        all.extend(typed(prefix, "ceil floor trunc nearest sqrt", &[of], of));
        all.extend(typed(prefix, "add sub mul div min max", &[of, of], of));
    }
    all.extend(each("f32.demote_f64", &[F64], F32));
    all.extend(each("f64.promote_f32", &[F32], F64));
    for prefix in ["f32x4", "f64x2"] {
        all.extend(typed(prefix, "ceil floor trunc nearest sqrt", UNARY, V128));
        all.extend(typed(prefix, "add sub mul div min max relaxed_min relaxed_max", BINARY, V128));
    }
    all.extend(each("f32x4.demote_f64x2_zero f64x2.promote_low_f32x4", UNARY, V128));
    all
}

pub fn relaxed_madd() -> Vec<Instruction> {
    each("f32x4.relaxed_madd f32x4.relaxed_nmadd f64x2.relaxed_madd f64x2.relaxed_nmadd", TERNARY, V128)
}

pub fn relaxed_min_max() -> Vec<Instruction> {
    each("f32x4.relaxed_min f32x4.relaxed_max f64x2.relaxed_min f64x2.relaxed_max", BINARY, V128)
}

pub fn relaxed_truncation() -> Vec<Instruction> {
    let names = "relaxed_trunc_f32x4_s relaxed_trunc_f32x4_u relaxed_trunc_f64x2_s_zero relaxed_trunc_f64x2_u_zero";
    typed("i32x4", names, UNARY, V128)
}

pub fn relaxed_swizzle() -> Vec<Instruction> {
    each("i8x16.relaxed_swizzle", BINARY, V128)
}

pub fn relaxed_laneselect() -> Vec<Instruction> {
    let names = "i8x16.relaxed_laneselect i16x8.relaxed_laneselect i32x4.relaxed_laneselect i64x2.relaxed_laneselect";
    each(names, TERNARY, V128)
}

pub fn relaxed_q15() -> Vec<Instruction> {
    each("i16x8.relaxed_q15mulr_s", BINARY, V128)
}

pub fn relaxed_dot() -> Vec<Instruction> {
    let mut all = each("i16x8.relaxed_dot_i8x16_i7x16_s", BINARY, V128);
    all.extend(each("i32x4.relaxed_dot_i8x16_i7x16_add_s", TERNARY, V128));
    all
}
