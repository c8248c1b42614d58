//! Floating point, as Rust programs use it. Bit by bit, for whatever no compiler computes beforehand.

use std::hint::black_box;

use crate::{Look, digest};

pub(crate) const ALL: &[(&str, Look)] = &[
    ("the bits of NaN from f64", |_| {
        let (zero, infinity, odd) = black_box((0.0_f64, f64::INFINITY, f64::from_bits(0xfff4_0000_dead_beef)));
        bits([
            zero / zero,
            infinity - infinity,
            zero * infinity,
            (-1.0 + zero).sqrt(),
            odd + 1.0,
            odd * odd,
            odd.floor(),
        ])
    }),
    ("the bits of NaN from f32", |_| {
        let (zero, infinity, odd) = black_box((0.0_f32, f32::INFINITY, f32::from_bits(0xffa5_beef)));
        let all = [
            zero / zero,
            infinity - infinity,
            zero * infinity,
            (-1.0 + zero).sqrt(),
            odd + 1.0,
            odd * odd,
            odd.floor(),
        ];
        format!("{:08x?}", all.map(f32::to_bits))
    }),
    ("the bits of NaN from conversions", |_| {
        let (single, double) = black_box((f32::from_bits(0xffa5_beef), f64::from_bits(0xfff4_0000_dead_beef)));
        format!("{:016x} {:08x}", f64::from(single).to_bits(), (double as f32).to_bits())
    }),
    ("the signs of zeroes", |_| {
        let (plus, minus) = black_box((0.0_f64, -0.0_f64));
        bits([
            plus.min(minus),
            minus.min(plus),
            plus.max(minus),
            minus.max(plus),
            plus + minus,
            minus - plus,
            minus.round(),
        ])
    }),
    ("rounding", |_| {
        let values = black_box([0.5_f64, 1.5, 2.5, -0.5, -1.5, 4_503_599_627_370_497.5, 5e-324, 1e308]);
        let all = values.map(|x| [x.round(), x.floor(), x.ceil(), x.trunc(), x.round_ties_even(), x / 3.0, x * 1.1]);
        bits(all.into_iter().flatten())
    }),
    ("sums in another order", |_| {
        let values: Vec<f64> = (1..2_000).map(|n| black_box(1.0 / f64::from(n))).collect();
        let pairs: f64 = values.chunks(4).map(|chunk| chunk.iter().sum::<f64>()).sum();
        bits([values.iter().sum(), values.iter().rev().sum(), pairs])
    }),
    ("fused multiplication and addition", |_| {
        let (a, b, c) = black_box((1.000_000_000_000_000_2_f64, 1.000_000_000_000_000_4_f64, -1.0_f64));
        format!(
            "{} {:08x}",
            bits([a.mul_add(b, c), a * b + c]),
            black_box(1.000_000_1_f32).mul_add(1.000_000_2, -1.0).to_bits()
        )
    }),
    ("transcendental functions", |_| {
        let all = (1..200).flat_map(|n| {
            let x = black_box(f64::from(n) * 0.37);
            [
                x.sin(),
                x.cos(),
                x.tan(),
                x.exp(),
                x.ln(),
                x.powf(1.7),
                x.cbrt(),
                x.atan2(2.0),
                x.sinh(),
                x.hypot(3.0),
                x.ln_1p(),
            ]
        });
        digest(all.flat_map(|x| x.to_bits().to_le_bytes()))
    }),
    ("transcendental functions of f32", |_| {
        let all = (1..200).flat_map(|n| {
            let x = black_box(n as f32 * 0.37);
            [x.sin(), x.cos(), x.tan(), x.exp(), x.ln(), x.powf(1.7), x.cbrt(), x.powi(7)]
        });
        digest(all.flat_map(|x| x.to_bits().to_le_bytes()))
    }),
    ("numbers as text", |_| {
        let values = black_box([0.1_f64, 1e16, 1e300, 5e-324, -0.0, f64::NAN, 1.0 / 3.0, 123_456_789.125]);
        let parsed: Vec<f64> = ["1e-400", "0.1", "9007199254740993", "1.7976931348623159e308"]
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        format!("{values:?} {parsed:?} {:e}", values[0])
    }),
    ("floats as integers", |_| {
        let values = black_box([f64::NAN, f64::INFINITY, -1.5, 1e20, -1e20, 2_147_483_647.9]);
        format!("{:?} {:?}", values.map(|x| x as i32), values.map(|x| x as u64))
    }),
    ("denormal numbers", |_| {
        let (tiny, single) = black_box((f64::MIN_POSITIVE, f32::MIN_POSITIVE));
        format!(
            "{} {:08x?}",
            bits([tiny / 2.0, tiny * 0.75, tiny - tiny * 0.5]),
            [single / 2.0, single * 0.75].map(f32::to_bits)
        )
    }),
];

fn bits(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(|value| format!("{:016x}", value.to_bits())).collect::<Vec<_>>().join(" ")
}
